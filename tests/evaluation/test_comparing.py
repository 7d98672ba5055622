"""Differences against worked examples and plain reference computations."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score

from fer_utils.common.errors import UserError
from fer_utils.common.intervals import bootstrap_interval, wilson_interval
from fer_utils.evaluation.comparing import compare_all, compare_models, in_words, styled, verdict


def predictions_with(only_first: int, only_second: int, both: int, neither: int):
    """Return (labels, probabilities of two models) in which the given numbers of images are right."""
    n = only_first + only_second + both + neither
    labels = np.zeros(n, np.int64)
    first, second = np.ones(n, int), np.ones(n, int)
    first[: only_first + both] = 0
    second[only_first : only_first + both + only_second] = 0
    first[only_first + both :] = 1
    return labels, np.eye(7)[first], np.eye(7)[second]


def test_exact_mcnemar_of_a_worked_example():
    # Agresti 2013, Categorical Data Analysis, table 11.1 (approval of the prime minister): 150 and 86 changed sides.
    labels, first, second = predictions_with(150, 86, 794, 570)
    found = compare_models(labels, first, second)
    assert (found["only_first"], found["only_second"]) == (150, 86)
    assert found["p_value"] == pytest.approx(binomtest(86, 236).pvalue)
    assert found["difference"] == pytest.approx((150 - 86) / 1600)
    # The book's Wald interval for the difference is 0.021 to 0.059.
    assert found["difference_ci95"] == pytest.approx([0.021, 0.059], abs=0.002)


def test_equal_models_do_not_differ():
    labels, first, _ = predictions_with(5, 5, 50, 40)
    found = compare_models(labels, first, first)
    assert found["difference"] == 0 and found["p_value"] == 1 and found["difference_ci95"] == [0, 0]


def test_swapping_the_models_turns_the_sign():
    labels, first, second = predictions_with(30, 10, 50, 10)
    one, other = compare_models(labels, first, second), compare_models(labels, second, first)
    assert one["difference"] == -other["difference"] == pytest.approx(0.2)
    assert one["p_value"] == other["p_value"]


def test_other_images_are_refused():
    labels, first, second = predictions_with(3, 2, 5, 1)
    with pytest.raises(UserError, match="not the same images"):
        compare_models(labels, first, second[:-1])


def test_bootstrap_interval_agrees_with_wilson_for_accuracy():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 7, 1000)
    predicted = np.where(generator.random(1000) < 0.6, labels, (labels + 1) % 7)
    low, high = bootstrap_interval(labels, predicted, accuracy_score)
    assert (low, high) == pytest.approx(wilson_interval(int((labels == predicted).sum()), 1000), abs=0.005)


def test_bootstrap_interval_is_seeded_and_contains_the_score():
    generator = np.random.default_rng(1)
    labels, predicted = generator.integers(0, 3, 80), generator.integers(0, 3, 80)

    def macro_f1(labels, predicted):
        return f1_score(labels, predicted, average="macro", zero_division=0)

    first, again = (bootstrap_interval(labels, predicted, macro_f1, seed=4) for _ in range(2))
    assert first == again and first[0] < macro_f1(labels, predicted) < first[1]


def test_holm_correction_by_hand():
    labels, good, bad = predictions_with(20, 5, 50, 25)
    middle = good.copy()
    middle[:6] = np.eye(7)[1]
    models = {"good": good, "middle": middle, "bad": bad}
    table = compare_all(labels, models)
    raw = sorted(
        compare_models(labels, models[row["first"]], models[row["second"]])["p_value"] for _, row in table.iterrows()
    )
    assert min(table["p"]) == pytest.approx(min(1, 3 * raw[0]))
    assert len(table) == 3 and set(table.columns) >= {"first", "second", "difference", "low", "high", "p", "verdict"}


def test_a_single_model_has_no_pair():
    labels, first, _ = predictions_with(3, 2, 5, 1)
    assert len(compare_all(labels, {"alone": first})) == 0


def test_only_the_pairs_that_were_meant_are_compared_and_corrected_for():
    labels, good, bad = predictions_with(20, 5, 50, 25)
    models = {"good": good, "bad": bad, "same": good}
    table = compare_all(labels, models, [("good", "bad"), ("good", "not trained")])
    assert table[["first", "second"]].values.tolist() == [["good", "bad"]]
    assert table["p"][0] == pytest.approx(compare_models(labels, good, bad)["p_value"])
    assert len(compare_all(labels, models, [])) == 0


def test_a_sentence_and_a_table_say_the_same_of_the_same_comparison():
    labels, first, second = predictions_with(40, 2, 50, 8)
    found = compare_models(labels, first, second)
    sentence = " ".join(in_words(found, "one", "two", len(labels)).split())
    assert sentence.startswith("one less two: +38.0 points (95 % interval +27.0 to +48.0, p below 0.001, n = 100)")
    table = compare_all(labels, {"one": first, "two": second})
    assert sentence.endswith(f": {table['verdict'][0]}") and table["verdict"][0] == "more than chance explains"
    assert verdict(0.05) == "chance can explain it" and verdict(0.049) == verdict(1e-9)


def test_table_is_readable():
    labels, first, second = predictions_with(40, 2, 50, 8)
    html = styled(compare_all(labels, {"one": first, "two": second}))._repr_html_()
    shown = ("+38.0<", "+27.0 to +48.0", "below 0.001", "more than chance explains")
    assert all(text in html for text in shown)
