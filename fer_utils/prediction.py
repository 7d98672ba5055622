"""From a photo to faces, each with a predicted expression."""

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fer_utils.errors import UserError
from fer_utils.labels import EMOTIONS, IMAGE_SIZE

MOST_PIXELS = 50_000_000
UNSURE_BELOW = 0.5
# Haar's boxes end at the chin and brow, as FER-2013's crops do; a face must fill a fair part of the photo.
SMALLEST_FACE = 40


@dataclass(frozen=True)
class Face:
    """One face: its box (x, y, width, height) in pixels of the upright photo, and seven probabilities."""

    box: tuple[int, int, int, int]
    probabilities: np.ndarray

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


def open_photo(photo) -> np.ndarray:
    """Return any photo as a grey picture uint8 (height, width), turned upright.

    Args:
        photo: a path, the bytes of a file, a PIL image, or an array (height, width[, 3]) in 0..255.

    Raises:
        UserError: if it cannot be opened as a picture, or is too large to be one.
    """
    if isinstance(photo, np.ndarray):
        photo = Image.fromarray(np.squeeze(photo).astype(np.uint8))
    name = "the photo"
    try:
        if isinstance(photo, str | Path):
            name = Path(photo).name
            photo = Path(photo).read_bytes()
        if isinstance(photo, bytes | memoryview):
            photo = Image.open(io.BytesIO(photo))
        if photo.width * photo.height > MOST_PIXELS:
            raise UserError(f"{name} has {photo.width}×{photo.height} pixels: make it smaller than 50 megapixels")
        return _as_grey(ImageOps.exif_transpose(photo))
    except FileNotFoundError as error:
        raise UserError(f"no such file: {name}") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name} is not a picture that can be opened: choose a JPEG or PNG file") from error


def _as_grey(photo: Image.Image) -> np.ndarray:
    """Turn any colour mode to 8-bit grey: 16 bits are scaled, transparent parts become white."""
    if photo.mode.startswith(("I", "F")):
        values = np.asarray(photo, np.float32)
        return np.clip(values / (257 if values.max() > 255 else 1), 0, 255).astype(np.uint8)
    if photo.mode in ("RGBA", "LA", "PA") or "transparency" in photo.info:
        photo = photo.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)
    return np.asarray(photo.convert("L"))


@lru_cache(maxsize=1)
def _haar() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))


def find_faces(photo: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return the boxes (x, y, width, height) of the frontal faces in a grey photo, largest first.

    A picture as small as FER-2013's own is taken for one face as a whole.
    """
    height, width = photo.shape
    if max(height, width) <= 2 * IMAGE_SIZE:
        return [(0, 0, width, height)]
    smallest = max(SMALLEST_FACE, min(height, width) // 12)
    boxes = _haar().detectMultiScale(cv2.equalizeHist(photo), 1.1, 8, minSize=(smallest, smallest))
    return sorted((tuple(int(value) for value in box) for box in boxes), key=lambda box: -box[2] * box[3])


class EmotionDetector:
    """Finds faces and names their expressions, with any model of the series.

    Args:
        model: a keras.Model (n, 48, 48, 1) in 0..255 → (n, 7), or the path of a saved one.
    """

    def __init__(self, model):
        if isinstance(model, str | Path):
            model = load_model(model)
        self.model = model

    def __call__(self, photo) -> list[Face]:
        """Return the faces of a photo, largest first; an empty list if there is none.

        Raises:
            UserError: if the photo cannot be opened.
        """
        grey = open_photo(photo)
        boxes = find_faces(grey)
        if not boxes:
            return []
        crops = [cv2.resize(grey[y : y + h, x : x + w], (IMAGE_SIZE,) * 2, interpolation=cv2.INTER_AREA)
                 for x, y, w, h in boxes]  # fmt: skip
        probabilities = np.asarray(self.model.predict(np.stack(crops)[..., np.newaxis], verbose=0))
        return [Face(box, row) for box, row in zip(boxes, probabilities, strict=True)]


def load_model(path: str | Path):
    """Load a model of the series saved as `.keras`.

    Raises:
        UserError: if the file is missing, is no Keras model, or answers another question.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such model: {path}; train one with 'fer run', or give the path of a .keras file")
    from fer_utils.quiet import load_keras

    try:
        model = load_keras().models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} is not a Keras model that can be loaded ({reason})") from error
    if model.input_shape[1:] != (IMAGE_SIZE, IMAGE_SIZE, 1) or model.output_shape[-1] != len(EMOTIONS):
        raise UserError(f"{path} maps {model.input_shape} to {model.output_shape}, not (n, 48, 48, 1) to (n, 7)")
    return model


def annotate(photo, faces: list[Face]) -> Image.Image:
    """Return the photo in grey with a box, a number and a label on every face, as an RGB PIL image."""
    grey = open_photo(photo)
    scale = max(1.0, 480 / max(grey.shape))
    picture = cv2.cvtColor(cv2.resize(grey, None, fx=scale, fy=scale), cv2.COLOR_GRAY2RGB)
    size = max(picture.shape) / 900
    for number, face in enumerate(faces, start=1):
        x, y, w, h = (round(value * scale) for value in face.box)
        text = f"{number}: {face.label} {face.confidence:.0%}" + ("?" if face.unsure else "")
        cv2.rectangle(picture, (x, y), (x + w, y + h), (230, 120, 0), max(2, round(3 * size)))
        (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 2)
        top = y - text_height - 10 if y > text_height + 10 else y
        cv2.rectangle(picture, (x, top), (x + text_width + 8, top + text_height + 10), (230, 120, 0), -1)
        cv2.putText(picture, text, (x + 4, top + text_height + 4), cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 2,
                    cv2.LINE_AA)  # fmt: skip
    return Image.fromarray(picture)
