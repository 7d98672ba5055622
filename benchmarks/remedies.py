"""What each remedy for unequal classes gains, with its interval."""

import numpy as np
import pandas as pd

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS
from fer_utils.experiments.remedy_table import MEASURES

RESAMPLES = 2000


def table(labels: np.ndarray, predicted: dict[str, np.ndarray], seed: int = 0) -> pd.DataFrame:
    """Return what each remedy is worth, with everything needed to doubt it.

    The intervals come from drawing both the pictures and the seeds anew (Efron 1979), the same draws for every remedy:
    a difference is therefore compared on the same pictures and the same seeds. With few seeds the spread between them
    is known only roughly.

    Args:
        labels: int64 (m,).
        predicted: from `unequal_classes.run`; the first remedy is what the others are compared with.
        seed: for the draws.

    Returns:
        One row for each remedy and each of `MEASURES`: remedy; measure; mean over the seeds; spread (standard
        deviation over the seeds; nan for one seed); low and high (95 % interval of the mean); gain (mean less the
        first remedy's), gain low and gain high; n (pictures that count for the measure); seeds. Shares are fractions.

    Raises:
        UserError: if predictions and labels do not fit.
    """
    labels = np.asarray(labels)
    shapes = {np.shape(found) for found in predicted.values()}
    if len(shapes) != 1 or next(iter(shapes))[1:] != labels.shape or not len(labels):
        raise UserError(f"predictions of shapes {sorted(shapes)} do not fit {len(labels)} labels")
    (n_seeds, n), n_disgust = next(iter(shapes)), int((labels == EMOTIONS.index("disgust")).sum())
    generator = np.random.default_rng(seed)
    # Row 0 holds every picture once; the others are draws with replacement.
    times = np.concatenate([np.ones((1, n)), generator.multinomial(n, np.full(n, 1 / n), RESAMPLES)]).astype(np.float32)
    drawn_seeds = np.concatenate([[np.arange(n_seeds)], generator.integers(0, n_seeds, (RESAMPLES, n_seeds))])
    measured = {
        remedy: np.stack([_measures(labels, one, times) for one in found]) for remedy, found in predicted.items()
    }
    # (draws, measures): the mean over the seeds that were drawn.
    means = {
        remedy: values[drawn_seeds, np.arange(len(times))[:, None]].mean(axis=1) for remedy, values in measured.items()
    }
    base, rows = means[next(iter(means))], []
    for remedy, values in means.items():
        gains = values - base
        for i, measure in enumerate(MEASURES):
            single = measured[remedy][:, 0, i]
            low, high = _middle(values[1:, i])
            gain_low, gain_high = _middle(gains[1:, i])
            rows.append(
                {
                    "remedy": remedy,
                    "measure": measure,
                    "mean": float(values[0, i]),
                    "spread": float(single.std(ddof=1)) if n_seeds > 1 else np.nan,
                    "low": low,
                    "high": high,
                    "gain": float(gains[0, i]),
                    "gain low": gain_low,
                    "gain high": gain_high,
                    "n": n_disgust if measure == "disgust recall" else n,
                    "seeds": n_seeds,
                }
            )
    return pd.DataFrame(rows)


def _middle(values: np.ndarray) -> tuple[float, float]:
    """Return what bounds the middle 95 % of the values; a draw without the class that is measured does not count."""
    values = values[np.isfinite(values)]
    return tuple(np.percentile(values, [2.5, 97.5]).tolist()) if len(values) else (np.nan, np.nan)


def _measures(labels: np.ndarray, predicted: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return `MEASURES` for every draw, (draws, 4); `times` (draws, m) says how often each picture was drawn."""
    n_classes = len(EMOTIONS)
    cell = np.eye(n_classes * n_classes, dtype=np.float32)[labels * n_classes + predicted]
    matrices = (times @ cell).reshape(-1, n_classes, n_classes).astype(np.float64)
    right, true, named = (matrices.diagonal(axis1=1, axis2=2), matrices.sum(axis=2), matrices.sum(axis=1))
    present = true > 0
    recall = np.divide(right, true, out=np.full(right.shape, np.nan), where=present)
    f1 = np.divide(2 * right, true + named, out=np.zeros(right.shape), where=true + named > 0)
    return np.stack(
        [
            right.sum(axis=1) / true.sum(axis=1),
            np.nanmean(recall, axis=1),
            np.where(present, f1, 0).sum(axis=1) / present.sum(axis=1),
            recall[:, EMOTIONS.index("disgust")],
        ],
        axis=1,
    )
