"""From a finished run to the two files that ship: weights for Keras, and the same network for ONNX Runtime.

Both hold the same numbers, in half precision or, where that would make too large a file, kernels of eight bits: the
normalisation is folded into the convolutions, and the calibration into the last layer, so that the network's
probabilities are calibrated as they come.
"""

import json
from pathlib import Path

import numpy as np

from fer_utils.common.files import write_atomically
from fer_utils.common.stored_weights import ONNX_FILE, SCALE, WEIGHTS_FILE
from workshop.model.onnx_graph import as_onnx
from workshop.model.quantisation import quantised

# A file of the package may not be larger, in bytes; where half precision would be, kernels get eight bits.
LARGEST_FILE = 6_000_000


def folded_weights(trained, plain) -> list[np.ndarray]:
    """Fold batch normalisation into the convolutions.

    Args:
        trained: `compact_cnn` with normalisation layers.
        plain: the same network built with `normalisation=False`.

    Returns:
        The weights of `plain`, float32, with which it answers as `trained` does.
    """
    for layer in plain.layers:
        if not layer.weights:
            continue
        source = trained.get_layer(layer.name)
        if not layer.name.endswith("_conv"):
            layer.set_weights(source.get_weights())
            continue
        norm = trained.get_layer(layer.name.removesuffix("_conv") + "_norm")
        gamma, beta, mean, variance = norm.get_weights()
        scale = gamma / np.sqrt(variance + norm.epsilon)
        layer.set_weights([source.get_weights()[0] * scale, beta - mean * scale])
    return plain.get_weights()


def calibrated_weights(weights: list[np.ndarray], temperature: float, bias=0.0) -> list[np.ndarray]:
    """Return the weights with which the logits come divided by the temperature, and the bias (7,) added to them."""
    return [*weights[:-2], weights[-2] / temperature, (weights[-1] / temperature + bias).astype(np.float32)]


def uncalibrated_weights(weights: list[np.ndarray], about: dict) -> list[np.ndarray]:
    """Return the weights as they were before `calibrated_weights`, as a file's `about` tells of it."""
    temperature, bias = about.get("temperature", 1.0), np.asarray(about.get("bias", 0.0))
    return [*weights[:-2], weights[-2] * temperature, ((weights[-1] - bias) * temperature).astype(np.float32)]


def save_compact(folder: str | Path, network, about: dict) -> list[Path]:
    """Write `compact.npz` and `compact.onnx`, which hold the same numbers: half precision, or kernels of eight bits.

    Args:
        folder: created if missing.
        network: `compact_cnn` built with `normalisation=False`.
        about: settings and provenance, kept inside both files; `about["network"]` has the arguments of `compact_cnn`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    in_eight_bits = 2 * network.count_params() > LARGEST_FILE
    arrays = {}
    for index, weight in enumerate(network.get_weights()):
        if weight.ndim == 4 and in_eight_bits:
            arrays[f"{index:04d}"], arrays[f"{index:04d}{SCALE}"] = quantised(weight)
        else:
            arrays[f"{index:04d}"] = weight.astype(np.float16)
    text = json.dumps(about, sort_keys=True)
    description = np.frombuffer(text.encode(), np.uint8)
    write_atomically(folder / WEIGHTS_FILE, lambda file: np.savez_compressed(file, about=description, **arrays))
    content = as_onnx(network, text, in_eight_bits).SerializeToString(deterministic=True)
    write_atomically(folder / ONNX_FILE, lambda file: file.write(content))
    return [folder / WEIGHTS_FILE, folder / ONNX_FILE]
