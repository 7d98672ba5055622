"""From a photo to faces, each with a predicted expression."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fer_utils.compact.shipped import GREY, ONNX_FILE, SHIPPED, ShippedModel, assets, require_probabilities
from fer_utils.errors import UserError
from fer_utils.faces import FaceFinder, FoundFace
from fer_utils.labels import EMOTIONS, IMAGE_SIZE
from fer_utils.paths import shown
from fer_utils.photos import open_photo

SHIPPED_NAME = "compact CNN (shipped)"
UNSURE_BELOW = 0.5
# A picture no larger than this is taken for a face as a whole, as FER-2013's are.
LARGEST_CROP = 2 * IMAGE_SIZE
# In FER-2013's pictures of 48 pixels the eyes are 18 pixels apart and 19 above the mouth, and half-way between eyes
# and mouth lies 4 pixels below the middle (medians over 1,263 training images, measured with `FaceFinder`).
FACE_IN_CROP, MIDDLE_BELOW = 19.4 / 48, 4 / 48
# A larger picture that is a face from edge to edge is recognised when it is given this much more surroundings.
SURROUNDINGS, FILLED = 0.3, 0.6


@dataclass(frozen=True)
class Face:
    """One face.

    `box` is x, y, width, height in pixels of the upright photo; `probabilities` float32 (7,) in the order of
    `EMOTIONS`; `crop` uint8 (48, 48), what the model was shown.
    """

    box: tuple[int, int, int, int]
    probabilities: np.ndarray
    crop: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def label(self) -> str:
        """The predicted expression."""
        return EMOTIONS[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """The probability of the predicted expression."""
        return float(self.probabilities.max())

    @property
    def unsure(self) -> bool:
        """Whether even the most probable expression is less likely than not."""
        return self.confidence < UNSURE_BELOW

    def as_dict(self) -> dict:
        """Return what `fer predict --json` prints for this face."""
        return {
            "box": list(self.box),
            "label": self.label,
            "probabilities": {e: round(float(p), 4) for e, p in zip(EMOTIONS, self.probabilities, strict=True)},
            "unsure": self.unsure,
        }


class EmotionDetector:
    """Finds faces in a photo and names their expressions.

    Args:
        model: "shipped", the model that comes with the package; the path of a `.keras` file of the series or of a
            `compact.onnx`; or a model in memory: a keras.Model (n, 48, 48, 1) in 0..255 → (n, 7), or a `ShippedModel`.

    Raises:
        UserError: if the model cannot be loaded.
    """

    def __init__(self, model=SHIPPED):
        self.name = model_name(model)
        self.model = load_any(model)

    def __call__(self, photo) -> list[Face]:
        """Return the faces of a photo, largest first; an empty list if there is none.

        Args:
            photo: whatever `fer_utils.photos.open_photo` opens.

        Raises:
            UserError: if the photo cannot be opened.
        """
        photo = open_photo(photo)
        boxes, crops = find_crops(photo.pixels)
        if not len(boxes):
            return []
        boxes = np.round(boxes * photo.scale).astype(int)
        faces = [
            Face(tuple(box.tolist()), row, crop)
            for box, row, crop in zip(boxes, self.predict(crops), crops, strict=True)
        ]
        return sorted(faces, key=lambda face: -face.box[2] * face.box[3])

    def predict(self, crops: np.ndarray) -> np.ndarray:
        """Return probabilities float32 (n, 7) of faces that are cut out already, uint8 (n, 48, 48).

        Raises:
            UserError: if a model that was given in memory answers with something else than probabilities.
        """
        if isinstance(self.model, ShippedModel):
            return self.model.predict(crops)
        answer = np.asarray(self.model.predict(crops[..., np.newaxis], verbose=0))
        require_probabilities(answer, self.name)
        return answer.astype(np.float32)


def model_name(model) -> str:
    """Return how a model is called in a list or a table."""
    if isinstance(model, ShippedModel):
        model = model.path
    if isinstance(model, str | os.PathLike):
        return SHIPPED_NAME if model in (SHIPPED, assets() / ONNX_FILE) else shown(model)
    return getattr(model, "name", type(model).__name__)


def load_any(model):
    """Return a model that can predict, from whatever `EmotionDetector` accepts."""
    if not isinstance(model, str | os.PathLike):
        return model
    if model == SHIPPED:
        return ShippedModel()
    return ShippedModel(model) if Path(model).suffix == ".onnx" else load_model(model)


def load_model(path: str | Path):
    """Load a model of the series saved as `.keras`.

    Raises:
        UserError: if the file is missing, is no Keras model, is damaged, answers another question, or answers with
            something else than probabilities.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such model: {path}; train one with 'fer run', or give the path of a .keras file")
    from fer_utils.quiet import load_keras

    keras = load_keras()
    # Makes the layer known to Keras, for a model that was saved together with its augmentation.
    import fer_utils.random_affine  # noqa: F401

    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras, h5py, zipfile and zlib each have exceptions of their own for a damaged file.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} is not a Keras model that can be loaded ({reason})") from error
    if model.input_shape[1:] != (IMAGE_SIZE, IMAGE_SIZE, 1) or model.output_shape[-1] != len(EMOTIONS):
        raise UserError(f"{path} maps {model.input_shape} to {model.output_shape}, not (n, 48, 48, 1) to (n, 7)")
    # Called, not asked to predict: that would compile it first.
    require_probabilities(keras.ops.convert_to_numpy(model(GREY, training=False)), path)
    return model


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


INK, PAPER = (20, 20, 20), (255, 255, 255)


def annotate(photo, faces: list[Face], longest: int = 1920) -> Image.Image:
    """Return the photo in its colours with a box, a number and a label on every face, as an RGB PIL image.

    Args:
        photo: whatever `fer_utils.photos.open_photo` opens.
        faces: what an `EmotionDetector` found in it.
        longest: the longer side of the result is at most so many pixels, and at least 480.
    """
    # Only who looks at a result needs these.
    from PIL import ImageDraw, ImageFont

    photo = open_photo(photo)
    picture = Image.fromarray(photo.pixels)
    enlarge = min(max(1.0, 480 / max(picture.size)), longest / max(picture.size))
    if enlarge != 1:
        picture = picture.resize([max(1, round(side * enlarge)) for side in picture.size], Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    line = max(2, max(picture.size) // 350)
    boxes = [[round(value * enlarge / photo.scale) for value in face.box] for face in faces]
    for x, y, width, height in boxes:
        # A light line within a dark one can be seen on any ground, also without colours.
        draw.rectangle((x - 1, y - 1, x + width + 1, y + height + 1), outline=INK, width=line + 2)
        draw.rectangle((x, y, x + width, y + height), outline=PAPER, width=line)
    for number, (face, (x, y, width, height)) in enumerate(zip(faces, boxes, strict=True), start=1):
        text = f"{number} {face.label} {face.confidence:.0%}" + (" ?" if face.unsure else "")
        font = ImageFont.load_default(min(max(width / 6, max(picture.size) / 55, 12), max(picture.size) / 20))
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        wide, high = right - left + 10, bottom + 8
        x = min(max(x, 0), max(picture.width - wide, 0))
        y = y - high if y >= high else min(y + height, picture.height - high)
        draw.rectangle((x, y, x + wide, y + high), fill=INK)
        draw.text((x + 5 - left, y + 4), text, fill=PAPER, font=font)
    return picture


def save_annotated(photo, faces: list[Face], folder: str | Path, taken: Sequence[Path] = ()) -> Path:
    """Write an annotated copy of a photo as PNG into a folder and return its path; no file is ever overwritten.

    The copy of photo.jpg is called photo.png, or photo_2.png, photo_3.png and so on where such files exist.

    Args:
        photo: whatever `fer_utils.photos.open_photo` opens.
        faces: what an `EmotionDetector` found in it.
        folder: created if missing.
        taken: names that must stay free even where there is no file yet.

    Raises:
        UserError: if the folder cannot be written to.
    """
    photo, folder = open_photo(photo), Path(folder)
    taken = {path.resolve() for path in taken}
    stem, picture = Path(photo.name).stem, annotate(photo, faces)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            path = folder / (f"{stem}_{number}.png" if number > 1 else f"{stem}.png")
            if path.resolve() in taken:
                continue
            # "x" refuses what exists, also what another program has written since one looked.
            with suppress(FileExistsError), path.open("xb") as file:
                picture.save(file, "PNG")
                return path
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror or error})") from error
