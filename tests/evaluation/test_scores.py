"""Scores against worked examples and reference implementations."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score
from tqdm import tqdm

import fer_utils.evaluation.scores  # noqa: F401
from fer_utils import evaluation, models, plots, training
from fer_utils.common.errors import UserError
from fer_utils.common.intervals import bootstrap_interval


@pytest.fixture
def predictions():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 7, 300)
    probabilities = generator.dirichlet(np.ones(7), 300)
    probabilities[np.arange(200), labels[:200]] += 0.7
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def test_wilson_interval_of_a_textbook_example():
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3: 81 of 263 gives 0.2553 to 0.3662.
    assert evaluation.wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert evaluation.wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_calibration_error_by_hand():
    # Two bins of ten: confidence 0.95 with accuracy 0.5, and confidence 0.65 with accuracy 1.
    probabilities = np.full((4, 7), 0.0)
    probabilities[:2, 0], probabilities[:2, 1] = 0.95, 0.05
    probabilities[2:, 0], probabilities[2:, 1] = 0.65, 0.35
    labels = np.array([0, 3, 0, 0])
    assert evaluation.calibration_error(labels, probabilities, bins=10) == pytest.approx(0.5 * 0.45 + 0.5 * 0.35)


def test_perfectly_calibrated_certainty_has_no_error():
    assert evaluation.calibration_error(np.arange(7), np.eye(7)) == 0


def test_score_agrees_with_scikit_learn(predictions):
    labels, probabilities = predictions
    result = evaluation.score(labels, probabilities, "PublicTest")
    predicted = probabilities.argmax(axis=1)
    assert result["n"] == 300 and result["split"] == "PublicTest"
    assert result["accuracy"] == (predicted == labels).mean()
    assert result["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    low, high = result["macro_f1_ci95"]
    by_hand = bootstrap_interval(labels, predicted, lambda y, z: f1_score(y, z, average="macro", labels=range(7)))
    assert (low, high) == pytest.approx(by_hand, abs=0.02) and low < result["macro_f1"] < high
    assert result["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    matrix = np.array(result["confusion_matrix"])
    assert matrix.sum() == 300 and matrix[2, 4] == ((labels == 2) & (predicted == 4)).sum()
    assert result["accuracy_ci95"][0] < result["accuracy"] < result["accuracy_ci95"][1]
    assert json.loads(json.dumps(result)) == result


def test_class_that_does_not_occur_does_not_count():
    probabilities = np.eye(7)[[0, 0, 3, 3]]
    result = evaluation.score(np.array([0, 0, 3, 3]), probabilities, "validation")
    assert result["macro_f1"] == 1 and result["balanced_accuracy"] == 1
    assert result["per_class"]["fear"]["n"] == 0


def test_nothing_to_score_and_wrong_shape():
    with pytest.raises(UserError):
        evaluation.score(np.array([]), np.empty((0, 7)), "PublicTest")
    with pytest.raises(UserError):
        evaluation.score(np.array([1, 2]), np.ones((2, 6)), "PublicTest")


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_model_that_diverged_has_no_score(predictions, broken):
    labels, probabilities = predictions
    probabilities[[3, 8]] = broken
    with pytest.raises(UserError, match="2 of 300 images of PublicTest with NaN.*lower the learning rate"):
        evaluation.score(labels, probabilities, "PublicTest")


@pytest.mark.parametrize("losses", [[np.nan, np.nan], [2.0, np.nan], [np.inf, np.inf]])
def test_curves_of_a_training_that_diverged_are_drawn(losses):
    history = pd.DataFrame({"loss": losses, "val_loss": losses, "accuracy": [0.1, 0.1], "val_accuracy": [0.1, 0.1]})
    plots.learning_curves({"run": history.set_axis([1, 2])})


def test_step_sizes_are_drawn_from_the_first_step_to_the_last_against_the_epoch():
    (ax,) = plots.step_sizes(lambda step: 1 - step / 500, epochs=10, steps=50).axes
    epochs, sizes = ax.lines[0].get_data()
    assert (epochs[0], epochs[-1]) == (0, 10) and (sizes[0], sizes[-1]) == (1, 0)


def test_two_looks_are_the_mean_of_both_answers_and_each_part_is_scored(tiny_data):
    images, labels = tiny_data

    class Left:
        """Sees how bright the left half of a picture is, and thinks of it as the probability of the first class."""

        def predict_on_batch(self, x):
            share = np.clip(x[:, :, :24, 0].mean(axis=(1, 2)) / 255, 0.01, 0.99)
            return np.column_stack([share, 1 - share, *np.zeros((5, len(x)))]).astype(np.float32)

    parts = {"validation": (images[:50], labels[:50]), "PublicTest": (images[50:], labels[50:])}
    once = training.judge(Left(), parts)
    twice = training.judge_twice(Left(), {"PublicTest": parts["PublicTest"]}, once)
    assert list(twice.scores) == ["PublicTest"] and twice.scores["PublicTest"]["n"] == 90
    mirrored = models.predict(Left(), images[50:, :, ::-1])
    both = once.probabilities["PublicTest"], mirrored
    low, high = np.minimum(*both), np.maximum(*both)
    between = twice.probabilities["PublicTest"][:, 0]
    assert np.all(between >= low[:, 0] - 1e-6) and np.all(between <= high[:, 0] + 1e-6)
    assert np.abs(between - once.probabilities["PublicTest"][:, 0]).max() > 1e-4


def test_majority_baseline():
    result = evaluation.majority_baseline(np.array([3, 3, 1]), np.array([3, 1, 1, 3, 3]), "PublicTest")
    assert result["accuracy"] == 0.6


def test_most_confused_is_a_share_of_the_label_not_of_the_answer():
    probabilities = np.eye(7)[[5, 5, 2, 5, 5, 5]]
    table = evaluation.most_confused(evaluation.score(np.array([2, 2, 2, 0, 5, 5]), probabilities, "PublicTest"))
    assert table["label"].tolist() == ["angry", "fear"] and table["predicted"].tolist() == ["surprise", "surprise"]
    assert table["share"].tolist() == [1, pytest.approx(2 / 3)] and table["n"].tolist() == [1, 3]


def test_most_confused_of_a_perfect_model_is_empty():
    perfect = evaluation.score(np.arange(7), np.eye(7), "PublicTest")
    assert evaluation.most_confused(perfect).empty


def test_line_names_part_n_and_interval(predictions):
    line = evaluation.describe(evaluation.score(*predictions, "PublicTest"))
    assert line.startswith("PublicTest: accuracy ") and "95 % interval" in line and "n = 300" in line


def test_predict_keeps_the_order(tiny_data, tiny_model):
    images, _ = tiny_data
    model = tiny_model(compiled=False)
    together = models.predict(model, images, batch_size=32)
    alone = models.predict(model, images[77:78])
    assert together.shape == (140, 7)
    np.testing.assert_allclose(together[77], alone[0], atol=1e-5)


def test_predicting_in_many_batches_shows_a_bar_on_stderr(monkeypatch, capsys, tiny_model, tiny_data):
    monkeypatch.setattr(
        sys.modules["fer_utils.models.predict"],
        "tqdm",
        lambda *values, delay, **named: tqdm(*values, mininterval=0, **named),
    )
    assert models.predict(tiny_model(), tiny_data[0], batch_size=32).shape == (140, 7)
    out, err = capsys.readouterr()
    assert out == "" and "predicting" in err and "5/5" in err
    models.predict(tiny_model(), tiny_data[0])
    assert capsys.readouterr() == ("", "")
