"""The files with weights that ship with the package, and how their numbers are kept."""

from importlib.resources import files
from pathlib import Path

import numpy as np

SHIPPED = "shipped"

WEIGHTS_FILE = "compact.npz"

ONNX_FILE = "compact.onnx"

# What is added to the name of a kernel of eight bits for its scales.
SCALE = "_scale"


def assets() -> Path:
    """Return the folder in which the package keeps the shipped model."""
    return Path(str(files("fer_utils") / "assets"))


def stored_weights(stored) -> list[np.ndarray]:
    """Return the float32 arrays of an opened `compact.npz`, kernels of eight bits widened."""

    names = sorted(name for name in stored.files if name != "about" and not name.endswith(SCALE))
    return [
        widened(stored[name], stored[name + SCALE]) if name + SCALE in stored.files else stored[name].astype(np.float32)
        for name in names
    ]


def widened(numbers: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the kernel float32 (height, width, inputs, outputs) that `quantised` took apart."""
    return numbers.astype(np.float32) * scale.astype(np.float32)
