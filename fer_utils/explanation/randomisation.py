"""Whether heat maps mean anything: the same maps from networks whose weights are chance."""

import random

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.common.intervals import bootstrap_interval
from fer_utils.explanation.grad_cam import checked, grad_cam
from fer_utils.models.layers import with_weights


def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the rank correlation of two stacks of maps, image by image (Spearman 1904; scipy computes it).

    Args:
        first: float (n, height, width).
        second: the same shape.

    Returns:
        float64 (n,) in -1..1; 0 where a map is constant, since it has no order to agree with.
    """
    return np.array([_rank_correlation(a, b) for a, b in zip(first, second, strict=True)])


def randomised(model, share: float = 1.0, seed: int = 0):
    """Return a clone of a model in which the layers nearest to the output have never learned anything.

    They get new random weights from their own initialisers; the others keep theirs (the cascading randomisation of
    Adebayo et al. 2018).

    Args:
        model: a keras.Model; it is not changed.
        share: of the layers that have weights, counted from the output, 0 to 1.
        seed: for the random weights.

    Raises:
        UserError: if the share is not between 0 and 1.
    """
    import keras

    if not 0 <= share <= 1:
        raise UserError(f"share must lie between 0 and 1, not {share}")
    # Keras draws the seeds of its initialisers from Python's generator, which belongs to the caller.
    kept = random.getstate()
    random.seed(seed)
    try:
        clone = keras.models.clone_model(model)
    finally:
        random.setstate(kept)
    pairs = list(zip(with_weights(model), with_weights(clone), strict=True))
    for trained, fresh in pairs[: len(pairs) - round(share * len(pairs))]:
        fresh.set_weights(trained.get_weights())
    return clone


def randomisation_check(
    model,
    images: np.ndarray,
    classes=None,
    layer: str | None = None,
    stages: int = 5,
    seed: int = 0,
    batch_size: int = 32,
    progress: bool = True,
) -> pd.DataFrame:
    """Test whether Grad-CAM depends on what was learned (Adebayo et al. 2018, arXiv:1810.03292).

    The network loses its weights from the output to the input, stage by stage, and its signed maps are compared with
    those of the intact network. Maps that hardly change show edges of the face and not what the network learned.

    Args:
        model: a keras.Model; it is not changed.
        images: uint8 (n, height, width), at least 2.
        classes: as in `grad_cam`; the intact model's predictions stand for None throughout.
        layer: as in `grad_cam`.
        stages: steps from the intact to the wholly random network.
        seed: for the random weights.
        batch_size: images at once.
        progress: whether to show a progress bar.

    Returns:
        One row a stage: share (of the layers with weights that are random), down to (the last layer reached),
        correlation (mean rank correlation with the intact maps), low and high (95 % bootstrap interval over the
        images), n. The last row, "another image", compares the intact maps with one another: as similar as that are
        any two maps, whatever they show.

    Raises:
        UserError: if there are fewer than 2 images or stages below 1.
    """
    if len(images) < 2 or stages < 1:
        raise UserError(f"the check needs at least 2 images and 1 stage, not {len(images)} and {stages}")
    images, classes = checked(model, images, classes, batch_size)
    # Signed, since two maps without any positive part would have nothing to compare.
    settings = {"layer": layer, "signed": True, "batch_size": batch_size, "progress": False}
    intact = grad_cam(model, images, classes, **settings)
    names = [found.name for found in with_weights(model)][::-1]
    rows = []
    for stage in tqdm(range(stages + 1), "randomising", unit="stage", disable=not progress, leave=False):
        share = stage / stages
        maps = grad_cam(randomised(model, share, seed), images, classes, **settings)
        reached = round(share * len(names))
        rows.append(_compared(f"{share:.0%}", names[reached - 1] if reached else "", similarity(intact, maps)))
    rows.append(_compared("another image", "", similarity(intact, np.roll(intact, 1, axis=0))))
    return pd.DataFrame(rows)


def right_and_wrong(labels: np.ndarray, probabilities: np.ndarray, n: int = 4) -> pd.DataFrame:
    """Pair images of the same label: one that the model names rightly, one that it gets wrong, both surely.

    Args:
        labels: int64 (n,).
        probabilities: float (n, 7).
        n: how many labels at most; those with the surest mistakes come first.

    Returns:
        One row a label that has both: label (its code), right and wrong (positions), predicted (what the wrong one
        was taken for).
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rows = []
    for label in np.unique(labels):
        right, wrong = (np.flatnonzero((labels == label) & hit) for hit in (predicted == labels, predicted != labels))
        if len(right) and len(wrong):
            surest_right, surest_wrong = (group[confidence[group].argmax()] for group in (right, wrong))
            rows.append((label, surest_right, surest_wrong, predicted[surest_wrong]))
    rows.sort(key=lambda row: -confidence[row[2]])
    return pd.DataFrame(rows[:n], columns=["label", "right", "wrong", "predicted"])


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first.ravel(), second.ravel()).statistic)


def _compared(share: str, reached: str, values: np.ndarray) -> dict:
    low, high = bootstrap_interval(values, values, lambda drawn, _: drawn.mean())
    return {
        "share": share,
        "down to": reached,
        "correlation": float(values.mean()),
        "low": low,
        "high": high,
        "n": len(values),
    }
