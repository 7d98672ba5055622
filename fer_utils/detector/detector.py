"""From a photo to faces, each with a predicted expression."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS
from fer_utils.common.paths import shown
from fer_utils.common.probabilities import require_probabilities
from fer_utils.common.stored_weights import ONNX_FILE, SHIPPED, assets
from fer_utils.detector.crops import find_crops
from fer_utils.detector.photos import open_photo
from fer_utils.detector.shipped import ShippedModel
from fer_utils.models.saved import load_model

SHIPPED_NAME = "compact CNN (shipped)"

UNSURE_BELOW = 0.5


@dataclass(frozen=True)
class Face:
    """One face.

    `box` is x, y, width, height in pixels of the upright photo; `probabilities` float32 (7,) in the order of
    `EMOTIONS`; `crop` uint8 (48, 48), what the model was shown. `whole` says that the picture was taken for a face
    as it is: too small to look for one in it, or filled by it.
    """

    box: tuple[int, int, int, int]
    probabilities: np.ndarray
    crop: np.ndarray | None = field(default=None, repr=False, compare=False)
    whole: bool = False

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
            "whole": self.whole,
        }


class EmotionDetector:
    """Finds faces in a photo and names their expressions.

    Args:
        model: "shipped", the model that comes with the package; the path of a `.keras` file of the series or of a
            `compact.onnx`; or a model in memory: a keras.Model (n, 48, 48, 1) in 0..255 → (n, 7), or a `ShippedModel`.
        classes: the order in which it names the classes: "fer2013" for that of `EMOTIONS`, "alphabetical" as
            `flow_from_directory` makes it, or seven names with commas between them.
        scale: by what pixels in 0..255 are multiplied for it; 1/255 for a model that learned from 0..1 without a
            layer that rescales.

    Raises:
        UserError: if the model cannot be loaded, or `classes` are not the seven.
    """

    def __init__(self, model=SHIPPED, classes: str = "fer2013", scale: float = 1.0):
        self.order, self.scale = class_order(classes), scale
        self.name = model_name(model)
        self.model = load_any(model)

    def __call__(self, photo, turn: bool = True) -> list[Face]:
        """Return the faces of a photo, largest first; an empty list if there is none.

        Args:
            photo: whatever `fer_utils.detector.photos.open_photo` opens.
            turn: where no face is certain, look whether the photo lies on its side or stands on its head.

        Raises:
            UserError: if the photo cannot be opened.
        """
        photo = open_photo(photo)
        crops = find_crops(photo.pixels, turn)
        if not crops:
            return []
        answers = self.predict(np.stack([crop.pixels for crop in crops]))
        faces = [
            Face(tuple(np.round(crop.box * photo.scale).astype(int).tolist()), row, crop.pixels, crop.whole)
            for crop, row in zip(crops, answers, strict=True)
        ]
        return sorted(faces, key=lambda face: -face.box[2] * face.box[3])

    def predict(self, crops: np.ndarray) -> np.ndarray:
        """Return probabilities float32 (n, 7) of faces that are cut out already, uint8 (n, 48, 48).

        Raises:
            UserError: if a model that was given in memory answers with something else than probabilities.
        """
        if self.scale != 1:
            crops = crops * np.float32(self.scale)
        if isinstance(self.model, ShippedModel):
            return self.model.predict(crops)[:, self.order]
        answer = np.asarray(self.model.predict(crops[..., np.newaxis], verbose=0))
        require_probabilities(answer, self.name)
        return answer.astype(np.float32)[:, self.order]


def class_order(classes: str) -> list[int]:
    """Return where a model that names the classes in this order has each of `EMOTIONS`.

    Raises:
        UserError: if they are not the seven.
    """
    named = {"fer2013": list(EMOTIONS), "alphabetical": sorted(EMOTIONS)}
    names = named.get(classes) or [name.strip() for name in classes.split(",")]
    if sorted(names) != sorted(EMOTIONS):
        raise UserError(f"the classes '{classes}' are not alphabetical, fer2013, or these seven: {','.join(EMOTIONS)}")
    return [names.index(emotion) for emotion in EMOTIONS]


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
