"""From a photo to the square around each face, framed as FER-2013 frames them."""

from functools import lru_cache

import cv2
import numpy as np

from fer_utils.common.labels import IMAGE_SIZE
from fer_utils.detector.faces import FaceFinder, FoundFace

# A picture no larger than this is taken for a face as a whole, as FER-2013's are.
LARGEST_CROP = 2 * IMAGE_SIZE

# In FER-2013's pictures of 48 pixels the eyes are 18 pixels apart and 19 above the mouth, and half-way between eyes
# and mouth lies 4 pixels below the middle (medians over 1,263 training images, measured with `FaceFinder`).
FACE_IN_CROP, MIDDLE_BELOW = 19.4 / 48, 4 / 48

# A larger picture that is a face from edge to edge is recognised when it is given this much more surroundings.
SURROUNDINGS, FILLED = 0.3, 0.6


@lru_cache(maxsize=1)
def _finder() -> FaceFinder:
    return FaceFinder()


def find_crops(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the faces and cut each one out as FER-2013's faces are cut out: upright, from brow to chin.

    Args:
        photo: uint8 (height, width, 3), red first.

    Returns:
        Boxes float64 (n, 4): x, y, width, height within the photo; and crops uint8 (n, 48, 48). A picture of at most
        96 pixels, or one that a face fills from edge to edge, is taken as a whole.
    """
    height, width = photo.shape[:2]
    whole = np.array([[0.0, 0.0, width, height]])
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    if max(height, width) <= LARGEST_CROP:
        return whole, _shrunk(grey)[np.newaxis]
    found = _finder()(photo)
    if not found:
        return (whole, _shrunk(grey)[np.newaxis]) if _is_one_face(photo) else (np.empty((0, 4)), np.empty((0, 48, 48)))
    squares = [face_square(face) for face in found]
    boxes = []
    for (x, y), side, _ in squares:
        left, top = max(x - side / 2, 0), max(y - side / 2, 0)
        boxes.append((left, top, min(x + side / 2, width) - left, min(y + side / 2, height) - top))
    return np.array(boxes), np.stack([cut_out(grey, *square) for square in squares])


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
