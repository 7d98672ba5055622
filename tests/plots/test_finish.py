"""Whoever cannot see a figure is told what it shows."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.core.formatters import DisplayFormatter

from fer_utils import EMOTIONS, plots


def test_the_picture_in_a_notebook_has_an_alternative_text():
    history = pd.DataFrame({"loss": [2, 1], "val_loss": [2, 1.5], "accuracy": [0.3, 0.9], "val_accuracy": [0.3, 0.5]})
    figure = plots.learning_curves({"one": history}, "the sample")
    data, about = DisplayFormatter().format(figure)
    assert set(data) == {"image/png", "text/plain"}
    text = about["image/png"]["alt"]
    assert text == plots.alternative_text(figure)
    assert text.startswith("the sample. loss against epoch: training from 2 to 1")
    assert "validation from 0.3 to 0.5" in text


def test_bars_are_told_by_name_and_pictures_by_their_titles():
    counts = pd.DataFrame({"Training": np.arange(7) * 1000}, index=EMOTIONS)
    assert "angry 0, disgust 1,000, fear 2,000" in plots.alternative_text(plots.counts_chart(counts))
    grid = plots.image_grid(np.zeros((3, 48, 48)), ["one", "two"], title="faces")
    assert plots.alternative_text(grid) == "faces. 3 pictures: one, two."


def test_of_a_confusion_matrix_the_diagonal_is_told():
    matrix = np.diag([1, 2, 3, 4, 5, 6, 7]) + np.eye(7, k=1, dtype=int)
    chart = plots.confusion_chart({"split": "PublicTest", "n": 34, "confusion_matrix": matrix.tolist()}, "the sample")
    text = plots.alternative_text(chart)
    assert "the sample, PublicTest, n = 34" in text and "on the diagonal angry 50, disgust 67" in text


def test_a_figure_of_ones_own_can_have_one_too():
    figure, ax = plt.subplots()
    ax.plot([3, 1, 2], label="a line")
    ax.set(xlabel="time", ylabel="height")
    assert plots.alternative_text(plots.finish(figure)) == "height against time: a line from 3 to 2, between 1 and 3."
    assert not plt.get_fignums()


def test_of_points_beside_names_each_value_is_told():
    table = pd.DataFrame({"model": ["one", "two"], "accuracy": [0.5, 0.62], "low": [0.4, 0.6], "high": [0.6, 0.7]})
    text = plots.alternative_text(plots.accuracy_chart(table, "PublicTest", "the sample"))
    assert "the sample: accuracy on PublicTest" in text and "one 50, two 62" in text
