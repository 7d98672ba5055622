"""Scores that say what they are worth: which part, how many images, which interval."""

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from fer_utils.common.errors import UserError
from fer_utils.common.intervals import macro_f1_interval, wilson_interval
from fer_utils.common.labels import EMOTIONS
from fer_utils.evaluation.calibration import calibration_error

# What PublicTest and PrivateTest are called where they are scored as one, beside each by itself.
TOGETHER = "test parts together"


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
            emotion: {"precision": float(precision[i]), "recall": float(recall[i]), "f1": float(f1[i]), "n": int(n[i])}
            for i, emotion in enumerate(EMOTIONS)
        },
        "ece": calibration_error(labels, probabilities),
        "confusion_matrix": matrix.tolist(),
    }


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
