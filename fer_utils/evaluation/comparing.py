"""Whether a difference between two models is more than luck: on the same images, each image counted as a pair."""

import textwrap
from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar

from fer_utils.common.errors import UserError
from fer_utils.common.intervals import RESAMPLES
from fer_utils.common.tables import show

SIGNIFICANT, LEAST_P = 0.05, 0.001


def compare_models(labels: np.ndarray, first: np.ndarray, second: np.ndarray, seed: int = 0) -> dict:
    """Compare two models on the same images.

    Args:
        labels: int64 (n,).
        first: probabilities float (n, 7) of one model.
        second: the same of the other.
        seed: for the bootstrap's draws.

    Returns:
        difference (accuracy of the first less the second's, a fraction), difference_ci95 (paired bootstrap),
        only_first and only_second (images that just one of them gets right), p_value (exact McNemar test; McNemar
        1947, with the binomial distribution).

    Raises:
        UserError: if the models were not scored on the same images.
    """
    if not len(labels) == len(first) == len(second) > 0:
        raise UserError(f"not the same images: {len(labels)} labels, {len(first)} and {len(second)} predictions")
    right = [np.asarray(probabilities).argmax(axis=1) == labels for probabilities in (first, second)]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    difference = right[0].astype(float) - right[1]
    draws = np.random.default_rng(seed).multinomial(
        len(difference),
        np.array([only_first, only_second, len(labels) - only_first - only_second]) / len(labels),
        RESAMPLES,
    )
    low, high = np.percentile((draws[:, 0] - draws[:, 1]) / len(labels), [2.5, 97.5])
    return {
        "difference": float(difference.mean()),
        "difference_ci95": [float(low), float(high)],
        "only_first": only_first,
        "only_second": only_second,
        "p_value": float(mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue),
    }


def compare_all(labels: np.ndarray, models: dict[str, np.ndarray], pairs: Iterable | None = None) -> pd.DataFrame:
    """Compare pairs of models, with Holm's correction (1979) for making several comparisons.

    Args:
        labels: int64 (n,).
        models: probabilities float (n, 7) by name.
        pairs: (first, second) names to compare, those that were meant to be compared before anything was known; a
            pair of which one model is missing is left out. By default every pair, which costs the most by correction.

    Returns:
        One row a pair: first, second, difference, low, high (fractions), p (corrected), verdict (from `verdict`).
    """
    from statsmodels.stats.multitest import multipletests

    rows = []
    for first, second in combinations(models, 2) if pairs is None else pairs:
        if first in models and second in models:
            found = compare_models(labels, models[first], models[second])
            low, high = found["difference_ci95"]
            rows.append((first, second, found["difference"], low, high, found["p_value"]))
    table = pd.DataFrame(rows, columns=["first", "second", "difference", "low", "high", "p"])
    if rows:
        table["p"] = multipletests(table["p"], method="holm")[1]
    table["verdict"] = table["p"].map(verdict)
    return table


def verdict(p: float) -> str:
    """Return what a test's p says, in the same words wherever the series tests."""
    return "more than chance explains" if p < SIGNIFICANT else "chance can explain it"


def in_words(found: dict, first: str, second: str, n: int) -> str:
    """Return one comparison as a sentence of a line or two: the difference with its interval, p, n, and what that says.

    Args:
        found: from `compare_models`; for one of several comparisons with `p_value` corrected.
        first: what the first model is called in a sentence, "the network with augmentation" for instance.
        second: the other one's name.
        n: images that both were asked about.
    """
    p = found["p_value"]
    said = (
        f"{first} less {second}: {_points(found['difference'])} points (95 % interval "
        f"{_range(*found['difference_ci95'])}, p{' ' if p < LEAST_P else ' = '}{_as_text(p)}, n = {n:,}): {verdict(p)}"
    )
    # No line ends between a name, its sign and its number.
    whole = said.replace(" = ", "\u00a0=\u00a0")
    return textwrap.fill(whole, 96, subsequent_indent="    ").replace("\u00a0", " ")


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _range(low: float, high: float) -> str:
    return f"{_points(low)} to {_points(high)}"


def _as_text(p: float) -> str:
    return "below 0.001" if p < LEAST_P else f"{p:.3f}"


def styled(table: pd.DataFrame):
    """Return a table of `compare_all` for display: differences in percentage points, no row numbers."""
    shown = pd.DataFrame(
        {
            "first": table["first"],
            "second": table["second"],
            "first less second, points": table["difference"].map(_points),
            "95 % interval": [_range(low, high) for low, high in zip(table["low"], table["high"], strict=True)],
            "p": table["p"].map(_as_text),
            "verdict": table["verdict"],
        }
    )
    return show(shown, index=False)
