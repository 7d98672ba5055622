"""Does a model mean what it is taken to say? How its classes are ordered, and in which range it wants its pictures."""

from fractions import Fraction

import numpy as np

from fer_utils.common.errors import UserError
from fer_utils.common.intervals import wilson_interval
from fer_utils.detector.detector import EmotionDetector, class_order

# So many pictures tell more than enough. What is below chance by far anyway is not worth a remark.
PICTURES, WORTH_IT = 500, 0.35


def scale_of(text: str) -> float:
    """Return a factor above 0, given as 1/255 or as a decimal number.

    Raises:
        UserError: if it is neither.
    """
    try:
        scale = float(Fraction(text))
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f"--scale {text} is no number: give 1/255, or leave it out") from error
    if scale <= 0:
        raise UserError(f"--scale {text} is not above 0: give 1/255, or leave it out")
    return scale


def remark(model: str, classes: str, scale: float, images: np.ndarray, labels: np.ndarray) -> str:
    """Return what to add to the command if the model is right far more often when it is read otherwise; or "".

    Args:
        model: as for `EmotionDetector`.
        classes, scale: as it is read now.
        images: uint8 (n, 48, 48).
        labels: int64 (n,).
    """
    chosen = np.random.default_rng(0).permutation(len(labels))[:PICTURES]
    images, labels = np.asarray(images)[chosen], labels[chosen]
    detector, right = EmotionDetector(model), {}
    for factor in dict.fromkeys((scale, 1.0, 1 / 255)):
        detector.scale, detector.order = factor, list(range(7))
        answers = detector.predict(images)
        for order in dict.fromkeys((classes, "fer2013", "alphabetical")):
            right[order, factor] = int((answers[:, class_order(order)].argmax(axis=1) == labels).sum())
    n, now = len(labels), right[classes, scale]
    (order, factor), best = max(right.items(), key=lambda item: item[1])
    if best < WORTH_IT * n or wilson_interval(best, n)[0] <= wilson_interval(now, n)[1]:
        return ""
    options = [f"--classes {order}"] * (order != classes) + [f"--scale {'1/255' if factor != 1 else 1}"] * (
        factor != scale
    )
    return (
        f"Please note: the model seems to be read wrongly. With {' '.join(options)} it is right in {best / n:.0%} of "
        f"{n} pictures, now in {now / n:.0%}; see docs/teaching.md"
    )
