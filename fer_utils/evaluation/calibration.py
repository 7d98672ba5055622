"""Making probabilities mean what they say: temperature scaling, and the numbers behind a reliability diagram."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fer_utils.common.probabilities import negative_log_likelihood, with_temperature

CALIBRATION_BINS = 15

# Beyond these a network knows nothing, or everything, and its weights divided by it would be lost in half precision.
TEMPERATURES = (0.05, 20)


def confidence_bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Return int64 (n,): which of `bins` equal bins of (0, 1] each top probability falls into."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS) -> float:
    """Return the expected calibration error: how far confidence and accuracy lie apart, weighted by bin size.

    Equal-width bins of the top probability, after Guo et al. 2017, "On calibration of modern neural networks".

    Args:
        labels: int64 (n,).
        probabilities: float (n, 7).
        bins: number of bins between 0 and 1.
    """
    return _calibration_gap(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, bins)


def _calibration_gap(confidence: np.ndarray, right: np.ndarray, bins: int) -> float:
    bin_of = confidence_bins(confidence, bins)
    gap = np.abs(np.bincount(bin_of, confidence, bins) - np.bincount(bin_of, right, bins))
    return float(gap.sum() / len(confidence))


def calibration_error_by_chance(
    probabilities: np.ndarray, bins: int = CALIBRATION_BINS, repeats: int = 500, seed: int = 0
) -> tuple[float, float]:
    """Return between which calibration errors a perfectly calibrated model would lie 95 times in 100.

    No model scores 0 on a finite number of images, and the fewer there are, the larger the error by chance alone. So
    an answer is counted as right with exactly the probability that it was given, again and again: the consistency
    resampling of Bröcker & Smith 2007, "Increasing the reliability of reliability diagrams" (Weather and Forecasting
    22). An error above the range says that the promises are not kept; one inside it, that nothing speaks against them.

    Args:
        probabilities: float (n, 7), the answers that were scored.
        bins: as for `calibration_error`.
        repeats: how often chance decides.
        seed: of that chance.
    """
    confidence, draw = probabilities.max(axis=1), np.random.default_rng(seed)
    errors = [_calibration_gap(confidence, draw.random(len(confidence)) < confidence, bins) for _ in range(repeats)]
    low, high = np.percentile(errors, [2.5, 97.5])
    return float(low), float(high)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the temperature that gives the labels the highest likelihood; fit it on the validation part only.

    Args:
        labels: int64 (n,).
        probabilities: float (n, 7), of a model that did not learn from these images.
    """
    from scipy.optimize import minimize_scalar

    result = minimize_scalar(
        lambda log: negative_log_likelihood(labels, with_temperature(probabilities, np.exp(log))),
        bounds=np.log(TEMPERATURES),
        method="bounded",
        options={"xatol": 1e-6},
    )
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

    bins = bins or CALIBRATION_BINS
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    frame = pd.DataFrame({"bin": confidence_bins(confidence, bins), "confidence": confidence, "accuracy": right})
    measures = {"confidence": ("confidence", "mean"), "accuracy": ("accuracy", "mean"), "n": ("bin", "size")}
    table = frame.groupby("bin").agg(**measures)
    table.insert(0, "low", table.index / bins)
    table.insert(1, "high", (table.index + 1) / bins)
    return table.reset_index(drop=True)
