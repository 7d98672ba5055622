"""Counts, averages and weights."""

import numpy as np
import pytest
from helpers import write_zip
from sklearn.utils.class_weight import compute_sample_weight

from fer_utils import EMOTIONS, audit, plots
from fer_utils.dataset import load_dataset


def test_counts_by_emotion_adds_up_both_tests(tmp_path, files):
    table = audit.counts_by_emotion(load_dataset(write_zip(tmp_path / "a.zip", files), progress=False))
    assert table["training"].tolist() == [5] * 7
    assert table["test"].tolist() == [2] * 7
    assert table["training percent"].tolist() == [14.3] * 7


def test_mean_faces_and_an_absent_class():
    images = np.stack([np.full((48, 48), value, np.uint8) for value in (10, 20, 200)])
    means = audit.mean_faces(images, np.array([0, 0, 5]))
    assert means.shape == (7, 48, 48)
    assert means[0].mean() == 15 and means[5].mean() == 200 and means[1].mean() == 0


def test_pixel_statistics():
    half = np.zeros((48, 48), np.uint8)
    half[:24] = 100
    table = audit.pixel_statistics(np.stack([half, np.full((48, 48), 80, np.uint8)]), np.array([2, 6]))
    assert table.loc["fear"].tolist() == [50, 50]
    assert table.loc["neutral"].tolist() == [80, 0]


def test_class_weights_give_every_class_the_same_total():
    labels = np.array([0] * 10 + [3] * 30 + [6] * 60)
    weights = audit.class_weights(labels)
    assert set(weights) == {0, 3, 6}
    totals = [weights[label] * (labels == label).sum() for label in weights]
    assert totals == pytest.approx([100 / 3] * 3)
    assert np.array([weights[label] for label in labels]) == pytest.approx(compute_sample_weight("balanced", labels))


def test_a_panel_for_every_emotion_even_one_without_pictures():
    images = np.stack([np.full((48, 48), 10, np.uint8), np.full((48, 48), 250, np.uint8)])
    figure = plots.pixel_histograms(images, np.array([0, 3]), bins=32)
    heights = {ax.get_title(): [bar.get_height() for bar in ax.patches] for ax in figure.axes[:7]}
    assert list(heights) == list(EMOTIONS)
    assert heights["angry"][1] == heights["happy"][31] == 100
    assert sum(heights["sad"]) == 0
    assert list(figure.axes[0].lines[0].get_ydata()[[1, 31]]) == [50, 50]


def test_titles_may_stand_above_the_first_row_only():
    figure = plots.image_grid(np.zeros((4, 48, 48), np.uint8), ["a", "b"], columns=2)
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "", ""]
