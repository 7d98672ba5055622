"""The compact model as it is used: through ONNX Runtime, which starts in a fraction of the time that Keras needs.

`ShippedModel` answers with the mean of a face and its mirror image. `load_shipped` returns the same network as a
keras.Model, for whoever wants to look inside, explain it or train it further.
"""

import json
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import numpy as np

from fer_utils.calibration import mirror_averaged
from fer_utils.errors import UserError
from fer_utils.labels import EMOTIONS, IMAGE_SIZE

SHIPPED = "shipped"
WEIGHTS_FILE = "compact.npz"
ONNX_FILE = "compact.onnx"
# What is added to the name of a kernel of eight bits for its scales.
SCALE = "_scale"
# Larger batches gain nothing on a CPU and cost memory.
BATCH = 64
# What a model is tried on once it is loaded.
GREY = np.full((1, IMAGE_SIZE, IMAGE_SIZE, 1), 128, np.float32)


def assets() -> Path:
    """Return the folder in which the package keeps the shipped model."""
    return Path(str(files("fer_utils") / "assets"))


def require_probabilities(answer: np.ndarray, name) -> None:
    """Refuse a model whose answer, float (n, 7), is no probabilities: a network that ends before its softmax, say.

    Args:
        answer: what it predicted, in the type in which it computes.
        name: how the error message calls the model.

    Raises:
        UserError: if a value is negative or not finite, or a row does not sum to 1 within what its type can hold.
    """
    tolerance = 1e-3 if answer.dtype.itemsize > 2 else 1e-2
    answer = answer.astype(np.float64)
    if not (np.isfinite(answer).all() and (answer >= 0).all() and (abs(answer.sum(axis=1) - 1) <= tolerance).all()):
        values = ", ".join(f"{value:.3g}" for value in answer[0])
        raise UserError(f"{name} answers with {values}, no probabilities: its last layer must be softmax")


class ShippedModel:
    """The compact model, ready to predict; nothing of Keras is loaded.

    Args:
        path: another `compact.onnx`, as `fer train compact` writes it; by default the one in the package.

    Raises:
        UserError: if the file is missing, is not such a model, or answers with something else than probabilities.
    """

    def __init__(self, path: str | Path | None = None):
        self.path = Path(path) if path else assets() / ONNX_FILE
        if not self.path.is_file():
            raise UserError(f"no such model: {self.path}; train one with 'fer train compact'")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # A network this small gains nothing from threads that wait for each other in a busy loop.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])
            inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
            shapes = inputs[0].shape[1:], outputs[0].shape[1:]
        except Exception as error:  # ONNX Runtime has exceptions of its own for each way a file can be wrong.
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"{self.path} is not an ONNX model that can be loaded ({reason})") from error
        if shapes != ([IMAGE_SIZE, IMAGE_SIZE, 1], [len(EMOTIONS)]):
            raise UserError(f"{self.path} maps {shapes[0]} to {shapes[1]}, not [48, 48, 1] to [7]")
        if len(inputs) > 1 or inputs[0].type != "tensor(float)":
            kinds = ", ".join(f"{each.name}: {each.type}" for each in inputs)
            raise UserError(f"{self.path} wants {kinds}; a model of the series takes one tensor(float)")
        self._input_name = inputs[0].name
        if path:
            require_probabilities(self.predict_once(GREY), self.path)

    @cached_property
    def about(self) -> dict:
        """Settings and provenance: network, temperature, training data, validation score."""
        return json.loads(self.session.get_modelmeta().description or "{}")

    def predict_once(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities float32 (n, 7) of uint8 or float images (n, 48, 48) in 0..255, in one forward pass."""
        images = np.asarray(images).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1)
        starts = range(0, len(images), BATCH)
        if len(starts) > 1:
            from tqdm import tqdm

            starts = tqdm(starts, "predicting", unit="batch", delay=2, leave=False)
        # Batch by batch, since all images as float32 would take four times their memory.
        batches = (np.ascontiguousarray(images[start : start + BATCH], np.float32) for start in starts)
        parts = [self.session.run(None, {self._input_name: batch})[0] for batch in batches]
        return np.concatenate(parts) if parts else np.empty((0, len(EMOTIONS)), np.float32)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities float32 (n, 7) of images (n, 48, 48) in 0..255, each averaged with its mirror image."""
        images = np.asarray(images).reshape(-1, IMAGE_SIZE, IMAGE_SIZE)
        both = self.predict_once(np.concatenate([images, images[:, :, ::-1]]))
        return mirror_averaged(*np.split(both, 2))


def load_shipped(path: str | Path | None = None):
    """Return the compact model as a keras.Model, (n, 48, 48, 1) in 0..255 → float32 (n, 7); calibrated, not mirrored.

    Args:
        path: another `compact.npz`, as `fer train compact` writes it; by default the one in the package.

    Raises:
        UserError: if the file is missing or holds something else.
    """
    path = Path(path) if path else assets() / WEIGHTS_FILE
    if not path.is_file():
        raise UserError(f"no such model: {path}; train one with 'fer train compact'")
    from fer_utils.models import compact_cnn

    try:
        with np.load(path) as stored:
            network = json.loads(stored["about"].tobytes())["network"]
            weights = _stored_weights(stored)
        model = compact_cnn(**network, normalisation=False)
        model.set_weights(weights)
    except Exception as error:  # NumPy, zipfile, zlib and Keras each have exceptions of their own for a damaged file.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} does not hold a compact model ({reason})") from error
    return model


def _stored_weights(stored) -> list[np.ndarray]:
    """Return the float32 arrays of an opened `compact.npz`, kernels of eight bits widened."""
    from fer_utils.compact.quantisation import widened

    names = sorted(name for name in stored.files if name != "about" and not name.endswith(SCALE))
    return [
        widened(stored[name], stored[name + SCALE]) if name + SCALE in stored.files else stored[name].astype(np.float32)
        for name in names
    ]
