"""95 % intervals of shares, of macro-F1, and of any mean by drawing again."""

import numpy as np
from scipy.stats import bootstrap
from statsmodels.stats.proportion import proportion_confint

RESAMPLES = 2000


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, as fractions (Wilson 1927; statsmodels computes it)."""
    low, high = proportion_confint(successes, n, alpha=0.05, method="wilson")
    return float(low), float(high)


def macro_f1_interval(matrix: np.ndarray, repeats: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of macro-F1 over the classes that occur, by the percentile bootstrap (Efron 1979).

    Drawing images with replacement comes to drawing the confusion matrix's entries from a multinomial distribution,
    so the images themselves are not needed.

    Args:
        matrix: int (7, 7), rows true, columns predicted.
        repeats: how often all images are drawn anew.
        seed: of the drawing.
    """
    n = int(matrix.sum())
    drawn = np.random.default_rng(seed).multinomial(n, matrix.ravel() / n, size=repeats).reshape(repeats, *matrix.shape)
    right = drawn.diagonal(axis1=1, axis2=2)
    either = drawn.sum(axis=1) + drawn.sum(axis=2)
    f1 = 2 * right / np.maximum(either, 1)
    low, high = np.percentile(f1[:, matrix.sum(axis=1) > 0].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def bootstrap_interval(labels: np.ndarray, predicted: np.ndarray, metric, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of any score, by drawing the images anew with replacement (Efron 1979).

    Args:
        labels: int64 (n,).
        predicted: int64 (n,).
        metric: a function of (labels, predicted), macro-F1 for instance.
        seed: for the draws.
    """
    interval = bootstrap(
        (labels, predicted),
        metric,
        paired=True,
        vectorized=False,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
