"""Making probabilities mean what they say: temperature scaling, and the numbers behind a reliability diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

# SciPy, pandas and what `evaluation` needs are imported where they are used: a detector that only wants
# `mirror_averaged` would wait a second for them.
if TYPE_CHECKING:
    import pandas as pd

TINY = 1e-12


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities softened (temperature above 1) or sharpened (below 1); the order of classes stays.

    The logarithm of a softmax output differs from the logits by a constant, so nothing but the probabilities is
    needed (Guo et al. 2017, "On calibration of modern neural networks", arXiv:1706.04599).

    Args:
        probabilities: float (n, 7), rows that sum to 1.
        temperature: above 0.
    """
    scaled = np.log(np.maximum(np.asarray(probabilities, np.float64), TINY)) / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True)


def negative_log_likelihood(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of minus the logarithm of the probability given to the true class, in nats."""
    given = np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(given, TINY)).mean())


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the temperature that gives the labels the highest likelihood; fit it on the validation part only.

    Args:
        labels: int64 (n,).
        probabilities: float (n, 7), of a model that did not learn from these images.
    """
    from scipy.optimize import minimize_scalar

    result = minimize_scalar(
        lambda log: negative_log_likelihood(labels, with_temperature(probabilities, np.exp(log))),
        bounds=(np.log(0.05), np.log(20)), method="bounded", options={"xatol": 1e-6},
    )  # fmt: skip
    return float(np.exp(result.x))


def mirror_averaged(probabilities: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Return the geometric mean of two predictions float (n, 7), made to sum to 1: the mean of the logits."""
    both = np.log(np.maximum(np.stack([probabilities, mirrored]).astype(np.float64), TINY)).mean(axis=0)
    both = np.exp(both - both.max(axis=1, keepdims=True))
    return (both / both.sum(axis=1, keepdims=True)).astype(np.float32)


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int | None = None) -> pd.DataFrame:
    """Return confidence and accuracy by bins of the top probability, for a reliability diagram.

    Args:
        labels: int64 (n,).
        probabilities: float (n, 7).
        bins: number of equal bins between 0 and 1; by default as many as the expected calibration error uses.

    Returns:
        One row a bin that holds something: low, high (its limits), confidence, accuracy (means), n.
    """
    import pandas as pd

    from fer_utils.evaluation import CALIBRATION_BINS, confidence_bins

    bins = bins or CALIBRATION_BINS
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    frame = pd.DataFrame({"bin": confidence_bins(confidence, bins), "confidence": confidence, "accuracy": right})
    measures = {"confidence": ("confidence", "mean"), "accuracy": ("accuracy", "mean"), "n": ("bin", "size")}
    table = frame.groupby("bin").agg(**measures)
    table.insert(0, "low", table.index / bins)
    table.insert(1, "high", (table.index + 1) / bins)
    return table.reset_index(drop=True)
