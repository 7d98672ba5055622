"""The compact model as it is used: through ONNX Runtime, which starts in a fraction of the time that Keras needs.

`ShippedModel` answers with the mean of a face and its mirror image. `load_shipped` returns the same network as a
keras.Model, for whoever wants to look inside, explain it or train it further.
"""

import json
from functools import cached_property
from pathlib import Path

import numpy as np

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE
from fer_utils.common.probabilities import TWO_PICTURES, mirror_averaged, require_probabilities
from fer_utils.common.stored_weights import ONNX_FILE, assets
from fer_utils.detector.onnx_session import open_session

# Larger batches gain nothing on a CPU and cost memory.
BATCH = 64


class ShippedModel:
    """The compact model, ready to predict; nothing of Keras is loaded.

    Args:
        path: another `compact.onnx`, as `python -m workshop.model compact` writes it; by default the package's.

    Raises:
        UserError: if the file is missing, is not such a model, or answers with something else than probabilities.
    """

    def __init__(self, path: str | Path | None = None):
        self.path = Path(path) if path else assets() / ONNX_FILE
        if not self.path.is_file():
            raise UserError(f"no such model: {self.path}; train one with 'python -m workshop.model compact'")
        try:
            self.session = open_session(self.path)
            inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
            shapes = inputs[0].shape[1:], outputs[0].shape[1:]
        except Exception as error:  # ONNX Runtime has exceptions of its own for each way a file can be wrong.
            raise UserError(f"{self.path} is not an ONNX model that can be loaded ({_reason(error)})") from error
        if shapes != ([IMAGE_SIZE, IMAGE_SIZE, 1], [len(EMOTIONS)]):
            raise UserError(f"{self.path} maps {shapes[0]} to {shapes[1]}, not [48, 48, 1] to [7]")
        if len(inputs) > 1 or inputs[0].type != "tensor(float)":
            kinds = ", ".join(f"{each.name}: {each.type}" for each in inputs)
            raise UserError(f"{self.path} wants {kinds}; a model of the series takes one tensor(float)")
        self._input_name = inputs[0].name
        # A file may have been written for so many pictures at a time, usually one.
        self._at_once = inputs[0].shape[0] if isinstance(inputs[0].shape[0], int) else BATCH
        if path:
            try:
                answer = self.predict_once(TWO_PICTURES)
            except Exception as error:
                raise UserError(f"{self.path} cannot answer for two pictures ({_reason(error)})") from error
            require_probabilities(answer, self.path)

    @cached_property
    def about(self) -> dict:
        """Settings and provenance: network, temperature, training data, validation score."""
        return json.loads(self.session.get_modelmeta().description or "{}")

    def predict_once(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities float32 (n, 7) of uint8 or float images (n, 48, 48) in 0..255, in one forward pass."""
        images = np.asarray(images).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1)
        starts = range(0, len(images), self._at_once)
        if len(starts) > 1:
            from tqdm import tqdm

            starts = tqdm(starts, "predicting", unit="batch", delay=2, leave=False)
        # Batch by batch, since all images as float32 would take four times their memory.
        batches = (np.ascontiguousarray(images[start : start + self._at_once], np.float32) for start in starts)
        parts = [self.session.run(None, {self._input_name: batch})[0] for batch in batches]
        return np.concatenate(parts) if parts else np.empty((0, len(EMOTIONS)), np.float32)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities float32 (n, 7) of images (n, 48, 48) in 0..255, each averaged with its mirror image."""
        images = np.asarray(images).reshape(-1, IMAGE_SIZE, IMAGE_SIZE)
        both = self.predict_once(np.concatenate([images, images[:, :, ::-1]]))
        return mirror_averaged(*np.split(both, 2))


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
