"""Scores that say what they are worth: which part, how many images, which interval."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from sklearn.metrics import (
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)
from statsmodels.stats.proportion import proportion_confint
from tqdm.auto import tqdm

from fer_utils.errors import UserError
from fer_utils.labels import EMOTIONS

CALIBRATION_BINS = 15
# What PublicTest and PrivateTest are called where they are scored as one, beside each by itself.
TOGETHER = "test parts together"
# Cutting a model again for each part would let TensorFlow translate it again. Both halves share the model's weights.
_cut_models = WeakKeyDictionary()


def predict(model, images: np.ndarray, batch_size: int = 256, frozen_once: bool = False) -> np.ndarray:
    """Return probabilities float32 (n, 7) of any model of the series, in the order of the images.

    Args:
        model: (n, 48, 48, 1) in 0..255 → (n, 7).
        images: uint8 (n, 48, 48).
        batch_size: images at once; it bounds the memory, not the result.
        frozen_once: use what the frozen layers at the model's beginning made of these images when it was trained
            with `frozen_once` (see `fer_utils.features`); it is computed and kept if it is not there.

    Raises:
        UserError: with `frozen_once` if nothing at the model's beginning is frozen.
    """
    if frozen_once:
        from fer_utils import features

        if model not in _cut_models:
            _cut_models[model] = features.split_frozen(model)
        frozen, model = _cut_models[model]
        kept = features.compute(frozen, images, min(batch_size, 64))
        data = {"x": _without_labels(features.batches(kept, np.zeros(len(images)), batch_size))}
    else:
        data = {"x": np.asarray(images)[..., np.newaxis], "batch_size": batch_size}
    from fer_utils.prompt_epochs import prompt_epochs

    with prompt_epochs():
        return np.asarray(model.predict(**data, verbose=0, callbacks=_progress(len(images), batch_size)))


def _without_labels(batches):
    """Return a keras.utils.PyDataset of the inputs alone; on several devices, batches with labels are filled up."""
    import keras

    class Inputs(keras.utils.PyDataset):
        def __len__(self):
            return len(batches)

        def __getitem__(self, index):
            return batches[index][:1]

    return Inputs()


def _progress(n: int, batch_size: int) -> list:
    """Return the Keras callback that shows a bar once predicting has taken two seconds; none for a single batch."""
    if n <= batch_size:
        return []
    import keras

    bar = tqdm(total=-(-n // batch_size), desc="predicting", unit="batch", delay=2, leave=False)
    return [
        keras.callbacks.LambdaCallback(
            on_predict_batch_end=lambda batch, logs: bar.update(), on_predict_end=lambda logs: bar.close()
        )
    ]


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


def score(labels: np.ndarray, probabilities: np.ndarray, split: str) -> dict:
    """Score predictions on one part of the data.

    Args:
        labels: int64 (n,).
        probabilities: float (n, 7), in the order of `EMOTIONS`.
        split: the name of the part, for the record.

    Returns:
        A dictionary that can be written as JSON: split, n, accuracy (a fraction), accuracy_ci95 (Wilson),
        macro_f1, macro_f1_ci95 and balanced_accuracy over the classes that occur, per_class (precision, recall, f1, n),
        ece, confusion_matrix (7×7, rows true, columns predicted).

    Raises:
        UserError: if there is nothing to score, the shapes do not fit, or a probability is not a finite number.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    if len(labels) == 0 or probabilities.shape != (len(labels), len(EMOTIONS)):
        raise UserError(f"cannot score {len(labels)} labels with probabilities of shape {probabilities.shape}")
    broken = int((~np.isfinite(probabilities).all(axis=1)).sum())
    if broken:
        # argmax would take the first of them, and every such image would count as angry.
        raise UserError(
            f"the model answers {broken:,} of {len(labels):,} images of {split} with NaN or infinity, so its training "
            "went wrong: lower the learning rate and train again"
        )
    predicted = probabilities.argmax(axis=1)
    codes = list(range(len(EMOTIONS)))
    present = np.unique(labels).tolist()
    precision, recall, f1, n = precision_recall_fscore_support(labels, predicted, labels=codes, zero_division=0)
    right = int((predicted == labels).sum())
    matrix = confusion_matrix(labels, predicted, labels=codes)
    return {
        "split": split,
        "n": len(labels),
        "accuracy": right / len(labels),
        "accuracy_ci95": list(wilson_interval(right, len(labels))),
        "macro_f1": float(f1_score(labels, predicted, labels=present, average="macro", zero_division=0)),
        "macro_f1_ci95": list(macro_f1_interval(matrix)),
        "balanced_accuracy": float(recall[present].mean()),
        "per_class": {
            emotion: {
                "precision": float(precision[i]), "recall": float(recall[i]), "f1": float(f1[i]), "n": int(n[i]),
            }
            for i, emotion in enumerate(EMOTIONS)
        },
        "ece": calibration_error(labels, probabilities),
        "confusion_matrix": matrix.tolist(),
    }  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """What a model is worth on each part.

    Attributes:
        scores: from `score`, by the part's name.
        probabilities: float32 (n, 7), by the part's name.
    """

    scores: dict[str, dict]
    probabilities: dict[str, np.ndarray]

    def __str__(self) -> str:
        return "\n".join(describe(score) for score in self.scores.values())


def judge(model, parts: dict[str, tuple[np.ndarray, np.ndarray]], frozen_once: bool = False) -> Judged:
    """Ask a model about every picture of every part, and score the answers; printed, the result is one line a part.

    Args:
        model: (n, 48, 48, 1) in 0..255 → (n, 7).
        parts: (images uint8 (n, 48, 48), labels int64 (n,)) by name, as from `dataset.divide`.
        frozen_once: as for `predict`.
    """
    found = {name: predict(model, images, frozen_once=frozen_once) for name, (images, _) in parts.items()}
    return Judged({name: score(labels, found[name], name) for name, (_, labels) in parts.items()}, found)


def judge_twice(model, parts: dict[str, tuple[np.ndarray, np.ndarray]], once: Judged) -> Judged:
    """Ask a model about every picture's mirror image as well, and score the mean of both answers.

    Args:
        model: as for `judge`.
        parts: as for `judge`.
        once: from `judge`, with at least these parts.
    """
    from fer_utils.calibration import mirror_averaged

    found = {
        name: mirror_averaged(once.probabilities[name], predict(model, images[:, :, ::-1]))
        for name, (images, _) in parts.items()
    }
    return Judged({name: score(labels, found[name], name) for name, (_, labels) in parts.items()}, found)


def macro_f1_range(result: dict) -> tuple[float, float]:
    """Return the 95 % interval of a score's macro-F1; records older than this figure have it in their matrix."""
    return tuple(result.get("macro_f1_ci95") or macro_f1_interval(np.array(result["confusion_matrix"])))


def describe(result: dict) -> str:
    """Return a score as one line: the part, accuracy and macro-F1 with their 95 % intervals, and n."""
    low, high = result["accuracy_ci95"]
    least, most = macro_f1_range(result)
    return (
        f"{result['split']}: accuracy {result['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%}, "
        f"n = {result['n']:,}), macro-F1 {result['macro_f1']:.3f} ({least:.3f} to {most:.3f})"
    )


def class_report(result: dict) -> pd.DataFrame:
    """Return precision, recall, F1 and n of each class, one row an emotion."""
    return pd.DataFrame(result["per_class"]).T.rename_axis("emotion").astype({"n": int})


def most_confused(result: dict) -> pd.DataFrame:
    """Return the mistakes by how often they are made, the most frequent first.

    Args:
        result: from `score`.

    Returns:
        One row a pair that occurs: label, predicted, share (of the label's images, 0..1) and n (of that label).
    """
    matrix = np.array(result["confusion_matrix"])
    n = matrix.sum(axis=1)
    rows = [
        {"label": EMOTIONS[i], "predicted": EMOTIONS[j], "share": matrix[i, j] / n[i], "n": int(n[i])}
        for i, j in np.argwhere(matrix)
        if i != j
    ]
    table = pd.DataFrame(rows, columns=["label", "predicted", "share", "n"])
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def majority_baseline(training_labels: np.ndarray, labels: np.ndarray, split: str) -> dict:
    """Score the rule "always say the most common training label": what any model has to beat."""
    probabilities = np.zeros((len(labels), len(EMOTIONS)))
    probabilities[:, np.bincount(training_labels, minlength=len(EMOTIONS)).argmax()] = 1
    return score(labels, probabilities, split)
