"""From a photo to the square around each face, framed as FER-2013 frames them."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from fer_utils.common.labels import IMAGE_SIZE
from fer_utils.detector.faces import FaceFinder, FoundFace

# A picture no larger than this is taken for a face as a whole, as FER-2013's are.
LARGEST_CROP = 2 * IMAGE_SIZE

# In FER-2013's pictures of 48 pixels the eyes are 18 pixels apart and 19 above the mouth, and half-way between eyes
# and mouth lies 4 pixels below the middle (medians over 1,263 training images, measured with `FaceFinder`).
FACE_IN_CROP, MIDDLE_BELOW = 19.4 / 48, 4 / 48

# FER-2013's makers stretched each picture from black to white: of 99.9 % of its training images the 1st and the 99th
# percentile lie further apart than this. Crops with less contrast are stretched; below `FLAT` there is nothing to see.
# A photo as a whole may well have less; it is searched in a stretched copy only below `DIM`, where faces are missed.
CONTRAST, DIM, FLAT = 245, 128, 8

# Where no face is `CERTAIN`, the photo may lie on its side. Who looks in three more directions sees more false faces,
# so one that is found there must be `SURE`, and surer than any that is upright.
CERTAIN, SURE = 0.999, 0.98

# A larger picture that is a face from edge to edge is recognised when it is given this much more surroundings.
SURROUNDINGS, FILLED = 0.3, 0.6


@lru_cache(maxsize=1)
def _finder() -> FaceFinder:
    return FaceFinder()


class Crop(NamedTuple):
    """One face: its box x, y, width, height within the photo, float64 (4,), and `pixels` uint8 (48, 48).

    `whole` says that no face was looked for or found in the picture, and that it was taken for one as it is.
    """

    box: np.ndarray
    pixels: np.ndarray
    whole: bool = False


def find_crops(photo: np.ndarray, turn: bool = True) -> list[Crop]:
    """Find the faces and cut each one out as FER-2013's are: upright, from brow to chin, in full contrast.

    A picture of at most 96 pixels that is not flat, or one that a face fills from edge to edge, is taken as a whole.

    Args:
        photo: uint8 (height, width, 3), red first.
        turn: where no face is certain, look whether the photo lies on its side or stands on its head.
    """
    height, width = photo.shape[:2]
    whole = np.array([0.0, 0.0, width, height])
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    if max(height, width) <= LARGEST_CROP:
        return [Crop(whole, with_contrast(_shrunk(grey)), whole=True)] if _spread(grey) > FLAT else []
    photo = with_contrast(photo, DIM)
    found = _finder()(photo)
    if not found and _is_one_face(photo):
        return [Crop(whole, with_contrast(_shrunk(grey)), whole=True)]
    quarters = 0
    if turn and not (found and found[0].score >= CERTAIN):
        for other in (1, 3, 2):
            turned = _finder()(np.rot90(photo, other))
            if turned and turned[0].score > max([SURE, *(face.score for face in found[:1])]):
                found, quarters = turned, other
    crops = _cut_out_all(np.ascontiguousarray(np.rot90(grey, quarters)), found)
    return [crop._replace(box=_turned_back(crop.box, grey.shape, quarters)) for crop in crops]


def _cut_out_all(grey, found) -> list[Crop]:
    height, width = grey.shape
    crops = []
    for (x, y), side, angle in map(face_square, found):
        left, top = max(x - side / 2, 0), max(y - side / 2, 0)
        box = np.array([left, top, min(x + side / 2, width) - left, min(y + side / 2, height) - top])
        crops.append(Crop(box, with_contrast(cut_out(grey, (x, y), side, angle))))
    return crops


def _turned_back(box, shape, quarters):
    """Return where a box of a photo that `np.rot90` turned lies in the photo itself, (height, width) in size."""
    (x, y, width, height), (down, across) = box, shape
    return np.array(
        {
            0: box,
            1: (across - y - height, x, height, width),
            2: (across - x - width, down - y - height, width, height),
            3: (y, down - x - width, height, width),
        }[quarters]
    )


def with_contrast(picture: np.ndarray, limit: int = CONTRAST) -> np.ndarray:
    """Return a picture, uint8 of any shape, stretched from black to white if it has less contrast than `limit`.

    Contrast is the distance from the 1st to the 99th percentile. A picture that has enough, or nearly none, is returned
    as it is.
    """
    if not FLAT < _spread(picture) < limit:
        return picture
    low, high = np.percentile(picture, (1, 99))
    return np.rint(np.clip((picture - low) * (255 / (high - low)), 0, 255)).astype(np.uint8)


def _spread(grey) -> float:
    return float(np.ptp(np.percentile(grey, (1, 99))))


def face_square(face: FoundFace) -> tuple[tuple[float, float], float, float]:
    """Return the square in which a face lies as FER-2013's faces lie in theirs: centre, side, degrees clockwise."""
    left, right, _, *corners = face.points
    eyes, mouth = (left + right) / 2, np.mean(corners, axis=0)
    # Of a face that is turned or nods, one of the two distances is shortened.
    side = max(np.linalg.norm(right - left), np.linalg.norm(mouth - eyes)) / FACE_IN_CROP
    angle = float(np.arctan2(*(right - left)[::-1]))
    up = np.array([np.sin(angle), -np.cos(angle)])
    centre = (eyes + mouth) / 2 + MIDDLE_BELOW * side * up
    return tuple(centre.tolist()), float(side), float(np.degrees(angle))


def cut_out(grey: np.ndarray, centre: tuple[float, float], side: float, angle: float) -> np.ndarray:
    """Return what lies in a turned square, uint8 (48, 48); beyond the photo its edge goes on.

    Args:
        grey: uint8 (height, width).
        centre: x and y in pixels.
        side: of the square, in pixels.
        angle: degrees clockwise.
    """
    # Sampled finely, then averaged: a map that shrinks would skip pixels.
    size = max(1, round(side / IMAGE_SIZE)) * IMAGE_SIZE
    matrix = cv2.getRotationMatrix2D(centre, angle, size / side)
    matrix[:, 2] += size / 2 - np.array(centre)
    return _shrunk(cv2.warpAffine(grey, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _shrunk(grey):
    return cv2.resize(grey, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA)


def _is_one_face(photo) -> bool:
    """Say whether a face fills the picture from edge to edge: then it is found once there is something around it."""
    longest = max(photo.shape[:2])
    if longest > 2 * min(photo.shape[:2]):
        return False
    border = round(SURROUNDINGS * longest)
    photo = cv2.copyMakeBorder(photo, border, border, border, border, cv2.BORDER_REPLICATE)
    return any(max(face.box[2:] - face.box[:2]) >= FILLED * longest for face in _finder()(photo, 0.4 * longest))
