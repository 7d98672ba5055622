"""Temperature scaling finds the temperature that was put in, and the diagram's numbers are those of the error."""

import numpy as np
import pytest

from fer_utils import evaluation
from fer_utils.evaluation.calibration import calibration_error, calibration_error_by_chance


@pytest.fixture(scope="module")
def calibrated():
    """Labels drawn from the very probabilities given: calibrated by construction."""
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 1.5, (20_000, 7))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) > draw.random((len(logits), 1))).argmax(axis=1)
    return labels, probabilities


@pytest.mark.parametrize("wrong", [0.5, 2.0])
def test_the_temperature_undoes_what_was_done_to_the_probabilities(calibrated, wrong):
    labels, probabilities = calibrated
    spoiled = evaluation.with_temperature(probabilities, wrong)
    found = evaluation.fit_temperature(labels, spoiled)
    assert found == pytest.approx(1 / wrong, rel=0.03)
    mended = evaluation.with_temperature(spoiled, found)
    assert calibration_error(labels, mended) < 0.015 < calibration_error(labels, spoiled)
    assert (mended.argmax(axis=1) == probabilities.argmax(axis=1)).all()


def test_calibrated_probabilities_are_left_as_they_are(calibrated):
    assert evaluation.fit_temperature(*calibrated) == pytest.approx(1, rel=0.03)


def test_a_class_that_is_named_too_often_is_named_as_often_as_it_occurs(calibrated):
    labels, probabilities = calibrated
    wrong = np.array([0.0, 0, 0, 0, 0, 0, 1.2])
    spoiled = evaluation.with_temperature(probabilities, 1.5, wrong)
    temperature, bias = evaluation.fit_temperature_and_bias(labels, spoiled)
    assert temperature == pytest.approx(1 / 1.5, rel=0.03) and bias.sum() == pytest.approx(0, abs=1e-9)
    assert np.allclose(bias, (wrong.mean() - wrong) * 1.5, atol=0.1)
    mended = evaluation.with_temperature(spoiled, temperature, bias)
    assert np.allclose(mended.mean(axis=0), np.bincount(labels) / len(labels), atol=2e-3)
    assert spoiled.mean(axis=0)[6] > mended.mean(axis=0)[6] + 0.1


def test_a_network_that_knows_nothing_keeps_a_temperature_that_its_weights_survive(calibrated):
    labels, probabilities = (part[:500] for part in calibrated)
    foreign = probabilities[::-1] ** 3
    temperature, _ = evaluation.fit_temperature_and_bias(labels, foreign / foreign.sum(axis=1, keepdims=True))
    assert 5 < temperature <= 20.001


def test_a_class_without_a_picture_keeps_a_finite_bias(calibrated):
    labels, probabilities = (part[:300] for part in calibrated)
    kept = labels != 1
    _, bias = evaluation.fit_temperature_and_bias(labels[kept], probabilities[kept])
    assert np.isfinite(bias).all() and -6 < bias[1] < bias[[0, 2, 3, 4, 5, 6]].min()


def test_the_diagram_adds_up_to_the_calibration_error(calibrated):
    labels, probabilities = calibrated
    table = evaluation.reliability(labels, probabilities)
    assert table["n"].sum() == len(labels)
    gap = (table["n"] * (table["confidence"] - table["accuracy"]).abs()).sum() / len(labels)
    assert gap == pytest.approx(calibration_error(labels, probabilities))
    assert (table["confidence"].between(table["low"], table["high"])).all()


def test_a_calibrated_model_lies_in_the_range_of_chance_and_an_overconfident_one_above(calibrated):
    labels, probabilities = calibrated
    few = slice(2_000, 4_000)
    for part in (slice(None), few):
        low, high = calibration_error_by_chance(probabilities[part])
        assert low <= calibration_error(labels[part], probabilities[part]) <= high
        sure = evaluation.with_temperature(probabilities[part], 0.5)
        assert calibration_error(labels[part], sure) > calibration_error_by_chance(sure)[1]
    assert calibration_error_by_chance(probabilities[few])[1] > 2 * calibration_error_by_chance(probabilities)[1]


def test_the_mean_with_the_mirror_image_is_the_mean_of_the_logits():
    logits = np.array([[2.0, 0, 1, 0, 0, 0, 0]]), np.array([[0.0, 0, 3, 0, 0, 0, 0]])
    softmax = [np.exp(z) / np.exp(z).sum() for z in logits]
    expected = np.exp(sum(logits) / 2) / np.exp(sum(logits) / 2).sum()
    assert np.allclose(evaluation.mirror_averaged(*softmax), expected, atol=1e-6)


def test_probabilities_of_zero_do_no_harm():
    certain = np.eye(7)[:3]
    assert np.isfinite(evaluation.with_temperature(certain, 2.0)).all()
    assert np.isfinite(evaluation.negative_log_likelihood(np.array([1, 1, 1]), certain))
