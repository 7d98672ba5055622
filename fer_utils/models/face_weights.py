"""The weights of VGG16 and ResNet50V2 that ship with the project: both learned from faces instead of from ImageNet.

They stand in for the ImageNet weights where those cannot be had, so that transfer is seen to work without a network.
`docs/backbones.md` says how they were made. Kernels are kept as whole numbers of six bits with a scale for each output
channel, everything else in half precision; what is computed with is floating point again.
"""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from fer_utils.common.errors import UserError
from fer_utils.common.stored_weights import SCALE, assets, widened

ABOUT_FILE = "backbones.json"


def weights_file(architecture: str) -> str:
    """Return the name of the file with a backbone's weights; `architecture` is "VGG16" or "ResNet50V2"."""
    return f"{architecture.lower()}_faces.npz"


def about_faces(architecture: str, folder: str | Path | None = None) -> dict:
    """Return what is known of a backbone's shipped weights: "sha256", "trained_on", "seed", and its scores.

    Args:
        architecture: "VGG16" or "ResNet50V2".
        folder: where the files lie; by default in the package.

    Raises:
        UserError: if there are no such weights.
    """
    path = Path(folder or assets()) / ABOUT_FILE
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if architecture not in known:
        names = " and ".join(known) or "nothing"
        raise UserError(f"no weights of {architecture} ship with the project: there are those of {names}")
    return known[architecture]


def load_faces(backbone, architecture: str, folder: str | Path | None = None) -> None:
    """Give a `keras.applications` network without its top the weights that ship.

    Args:
        backbone: VGG16 or ResNet50V2, for pictures of any size.
        architecture: which of the two it is.
        folder: where the files lie; by default in the package.

    Raises:
        UserError: if the file is missing or damaged, or the network is another one.
    """
    path = Path(folder or assets()) / weights_file(architecture)
    expected = about_faces(architecture, folder)["sha256"]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path.name} ({error.strerror}): install the project anew") from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise UserError(f"{path.name} is damaged (its checksum differs): install the project anew")
    with np.load(io.BytesIO(content)) as stored:
        weights = [
            _read(stored, f"{layer.name}/{i}", tuple(weight.shape))
            for layer in backbone.layers
            for i, weight in enumerate(layer.weights)
        ]
    # Only once all of them are there, so that no network is left with some of them.
    backbone.set_weights(weights)


def _read(stored, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in stored or stored[name].shape != shape:
        there = f"one of {stored[name].shape}" if name in stored else "none"
        raise UserError(
            f"this is not the network that the weights that ship belong to: its '{name}' has {shape}, they have {there}"
        )
    if name + SCALE in stored:
        return widened(stored[name], stored[name + SCALE])
    return stored[name].astype(np.float32)
