"""Covering parts of a picture and watching the answer."""

import numpy as np
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.explanation.grad_cam import checked
from fer_utils.models.predict import predict


def occlusion_map(
    model,
    images: np.ndarray,
    classes=None,
    patch: int = 12,
    stride: int = 4,
    batch_size: int = 256,
    progress: bool = True,
) -> np.ndarray:
    """Return how much the probability of a class falls when a region is covered (Zeiler & Fergus 2014, section 4.2).

    Needs no gradient and no knowledge of the network, only predictions, about a hundred per image. The square that
    covers has the image's mean grey, which is itself a picture the network never saw.

    Args:
        model: a keras.Model, (n, height, width, 1) in 0..255 → probabilities (n, classes).
        images: uint8 (n, height, width).
        classes: one class for all, int (n,) for one each, or None for the class that the model predicts.
        patch: side of the square, in pixels.
        stride: pixels from one square to the next, at most `patch`.
        batch_size: covered images at once.
        progress: whether to show a progress bar.

    Returns:
        float32 (n, height, width): for each pixel the mean fall over all squares that cover it, in -1..1. Negative
        where covering made the class more probable.

    Raises:
        UserError: if patch and stride do not fit the images, or a class does not exist.
    """
    images, classes = checked(model, images, classes, batch_size)
    height, width = images.shape[1:]
    if not 1 <= stride <= patch <= min(height, width):
        raise UserError(f"patch {patch} and stride {stride} must satisfy 1 <= stride <= patch <= {min(height, width)}")
    corners = [(top, left) for top in _starts(height, patch, stride) for left in _starts(width, patch, stride)]
    squares = [(slice(top, top + patch), slice(left, left + patch)) for top, left in corners]
    times = np.zeros((height, width), np.float32)
    for square in squares:
        times[square] += 1
    falls = np.zeros(images.shape, np.float32)
    whole = predict(model, images, batch_size) if len(images) else ()
    bar = tqdm(range(len(images)), "occlusion", unit="image", disable=not progress or len(images) < 2, leave=False)
    for i in bar:
        covered = np.repeat(images[i : i + 1], len(squares), axis=0)
        for copy, square in zip(covered, squares, strict=True):
            copy[square] = round(float(images[i].mean()))
        fall = whole[i, classes[i]] - predict(model, covered, batch_size)[:, classes[i]]
        for square, value in zip(squares, fall, strict=True):
            falls[i][square] += value
    return falls / times


def _starts(length: int, patch: int, stride: int) -> list[int]:
    """Positions of the squares along one side; the last one ends at the border, so that every pixel is covered."""
    return sorted({*range(0, length - patch + 1, stride), length - patch})
