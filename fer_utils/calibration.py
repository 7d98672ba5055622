"""Making probabilities mean what they say: temperature scaling, and the numbers behind a reliability diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

# SciPy, pandas and what `evaluation` needs are imported where they are used: a detector that only wants
# `mirror_averaged` would wait a second for them.
if TYPE_CHECKING:
    import pandas as pd

TINY = 1e-12
# Beyond these a network knows nothing, or everything, and its weights divided by it would be lost in half precision.
TEMPERATURES = (0.05, 20)


def with_temperature(probabilities: np.ndarray, temperature: float, bias=0.0) -> np.ndarray:
    """Return probabilities softened (temperature above 1) or sharpened (below 1); without bias, their order stays.

    The logarithm of a softmax output differs from the logits by a constant, so nothing but the probabilities is
    needed (Guo et al. 2017, "On calibration of modern neural networks", arXiv:1706.04599).

    Args:
        probabilities: float (n, 7), rows that sum to 1.
        temperature: above 0.
        bias: float (7,), added to the logits after they were divided; 0 for none.
    """
    scaled = np.log(np.maximum(np.asarray(probabilities, np.float64), TINY)) / temperature + np.asarray(bias)
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
        bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6},
    )  # fmt: skip
    return float(np.exp(result.x))


def fit_temperature_and_bias(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the temperature, and what to add to each class's logit, that give the labels the highest likelihood.

    A temperature alone cannot mend a class that is named too often (Alexandari et al. 2020, "Maximum likelihood with
    bias-corrected calibration is hard to beat at label shift adaptation", arXiv:1901.06852). Fit it on the validation
    part only. The biases have a standard normal prior, so that a class without a picture keeps a finite one.

    Args:
        labels: int64 (n,).
        probabilities: float (n, 7), of a model that did not learn from these images.

    Returns:
        The temperature, and float64 (7,) that sums to 0.
    """
    from scipy.optimize import minimize

    def loss(values):
        bias = values[1:]
        likely = negative_log_likelihood(labels, with_temperature(probabilities, np.exp(values[0]), bias))
        return likely + 0.5 * (bias**2).sum() / len(labels)

    start, n = np.log(fit_temperature(labels, probabilities)), probabilities.shape[1]
    bounds = [tuple(np.log(TEMPERATURES))] + [(None, None)] * n
    found = minimize(loss, np.r_[start, np.zeros(n)], method="L-BFGS-B", bounds=bounds).x
    return float(np.exp(found[0])), found[1:] - found[1:].mean()


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
