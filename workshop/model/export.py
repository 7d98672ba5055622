"""From a finished run to the two files that ship: weights for Keras, and the same network for ONNX Runtime.

Both hold the same numbers, in half precision or, where that would make too large a file, kernels of eight bits: the
normalisation is folded into the convolutions, and the calibration into the last layer, so that the network's
probabilities are calibrated as they come.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fer_utils.common.files import write_atomically
from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE
from fer_utils.common.stored_weights import ONNX_FILE, SCALE, WEIGHTS_FILE
from workshop.model.quantisation import quantised

ONNX_VERSION = 13

# A file of the package may not be larger, in bytes.
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
    arrays = {}
    for index, weight in enumerate(network.get_weights()):
        if weight.ndim == 4 and needs_quantising(network):
            arrays[f"{index:04d}"], arrays[f"{index:04d}{SCALE}"] = quantised(weight)
        else:
            arrays[f"{index:04d}"] = weight.astype(np.float16)
    text = json.dumps(about, sort_keys=True)
    description = np.frombuffer(text.encode(), np.uint8)
    write_atomically(folder / WEIGHTS_FILE, lambda file: np.savez_compressed(file, about=description, **arrays))
    content = as_onnx(network, text).SerializeToString(deterministic=True)
    write_atomically(folder / ONNX_FILE, lambda file: file.write(content))
    return [folder / WEIGHTS_FILE, folder / ONNX_FILE]


def needs_quantising(network) -> bool:
    """Return whether the network's numbers in half precision would make too large a file."""
    return 2 * network.count_params() > LARGEST_FILE


def as_onnx(network, about: str):
    """Return the folded compact network as an ONNX model: "image" float32 (n, 48, 48, 1) → "probabilities" (n, 7).

    The numbers are stored in half precision, or the kernels in eight bits, and widened when the model is loaded.

    Args:
        network: `compact_cnn` built with `normalisation=False`.
        about: text for the model's `doc_string`.

    Raises:
        NotImplementedError: for a layer that the compact network does not have.
    """
    nodes, constants = [], []
    in_eight_bits = needs_quantising(network)

    def constant(name, values):
        constants.append(numpy_helper.from_array(values, f"{name}_stored"))
        if values.dtype == np.float16:
            nodes.append(helper.make_node("Cast", [f"{name}_stored"], [name], to=TensorProto.FLOAT))
            return name
        return f"{name}_stored"

    def kernel_of(name, kernel):
        """Add a convolution's kernel, in ONNX's order: outputs, inputs, height, width."""
        if not in_eight_bits:
            return constant(name, np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)).astype(np.float16))
        numbers, scale = quantised(kernel)
        constants.append(numpy_helper.from_array(np.ascontiguousarray(numbers.transpose(3, 2, 0, 1)), f"{name}_stored"))
        # Not DequantizeLinear: ONNX Runtime would do that anew for each face instead of once.
        nodes.append(helper.make_node("Cast", [f"{name}_stored"], [f"{name}_numbers"], to=TensorProto.FLOAT))
        factor = constant(f"{name}_scale", scale.reshape(-1, 1, 1, 1))
        nodes.append(helper.make_node("Mul", [f"{name}_numbers", factor], [name]))
        return name

    def add(layer, inputs):
        name, kind = layer.name, type(layer).__name__
        if kind == "Rescaling":
            scale = constant(f"{name}_scale", np.float32(layer.scale))
            nodes.append(helper.make_node("Mul", [inputs[0], scale], [f"{name}_product"]))
            offset = constant(f"{name}_offset", np.float32(layer.offset))
            nodes.append(helper.make_node("Add", [f"{name}_product", offset], [f"{name}_last"]))
            # Keras has the channel last, ONNX first; with one channel that is only another shape.
            shape = constant(f"{name}_shape", np.array([-1, 1, IMAGE_SIZE, IMAGE_SIZE], np.int64))
            nodes.append(helper.make_node("Reshape", [f"{name}_last", shape], [name]))
        elif kind == "Conv2D":
            kernel, bias = layer.get_weights()
            operands = [
                inputs[0],
                kernel_of(f"{name}_kernel", kernel),
                constant(f"{name}_bias", bias.astype(np.float16)),
            ]
            # Keras pads below and to the right first, which ONNX calls SAME_UPPER.
            nodes.append(helper.make_node("Conv", operands, [name], strides=list(layer.strides), auto_pad="SAME_UPPER"))
        elif kind == "AveragePooling2D":
            nodes.append(helper.make_node("AveragePool", inputs, [name], kernel_shape=[2, 2], strides=[2, 2]))
        elif kind == "GlobalAveragePooling2D":
            nodes.append(helper.make_node("GlobalAveragePool", inputs, [f"{name}_map"]))
            nodes.append(helper.make_node("Flatten", [f"{name}_map"], [name]))
        elif kind == "Dense":
            kernel, bias = (constant(f"{name}_{i}", w.astype(np.float16)) for i, w in enumerate(layer.get_weights()))
            nodes.append(helper.make_node("Gemm", [inputs[0], kernel, bias], [f"{name}_logits"]))
            nodes.append(helper.make_node("Softmax", [f"{name}_logits"], [name], axis=1))
        elif kind in ("ReLU", "Add"):
            nodes.append(helper.make_node("Relu" if kind == "ReLU" else kind, inputs, [name]))
        elif kind == "Concatenate":
            nodes.append(helper.make_node("Concat", inputs, [name], axis=1))
        elif kind == "Dropout":
            nodes.append(helper.make_node("Identity", inputs, [name]))
        else:
            raise NotImplementedError(f"no ONNX counterpart is written for the layer {name} ({kind})")

    for layer in network.layers[1:]:
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        add(layer, [source._keras_history.operation.name for source in sources])
    graph = helper.make_graph(
        nodes,
        "compact_cnn",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", IMAGE_SIZE, IMAGE_SIZE, 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", len(EMOTIONS)])],
        constants,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", ONNX_VERSION)],
        doc_string=about,
        producer_name="fer_utils",
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model
