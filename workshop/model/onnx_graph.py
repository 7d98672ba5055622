"""The compact network as an ONNX model, for ONNX Runtime: what the detector needs neither Keras nor TensorFlow for."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE
from workshop.model.quantisation import quantised

ONNX_VERSION = 13


def as_onnx(network, about: str, in_eight_bits: bool):
    """Return the folded compact network as an ONNX model: "image" float32 (n, 48, 48, 1) → "probabilities" (n, 7).

    The numbers are stored in half precision, or the kernels in eight bits, and widened when the model is loaded.

    Args:
        network: `compact_cnn` built with `normalisation=False`.
        about: text for the model's `doc_string`.
        in_eight_bits: whether the kernels are.

    Raises:
        NotImplementedError: for a layer that the compact network does not have.
    """
    graph = _Graph(in_eight_bits)
    for layer in network.layers[1:]:
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        graph.add(layer, [source._keras_history.operation.name for source in sources])
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "compact_cnn",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", IMAGE_SIZE, IMAGE_SIZE, 1])],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", len(EMOTIONS)])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", ONNX_VERSION)],
        doc_string=about,
        producer_name="fer_utils",
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model


class _Graph:
    """The nodes and constants of an ONNX graph that grows by one layer of Keras after the other.

    What a layer gives is called by the layer's name.
    """

    def __init__(self, in_eight_bits: bool):
        self.in_eight_bits = in_eight_bits
        self.nodes, self.constants = [], []

    def add(self, layer, inputs: list[str]) -> None:
        """Add a layer's nodes; `inputs` are the names of the layers before it."""
        kind = type(layer).__name__
        write = getattr(self, f"_add_{kind.lower()}", None)
        if write is None:
            raise NotImplementedError(f"no ONNX counterpart is written for the layer {layer.name} ({kind})")
        write(layer, inputs)

    def _node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _constant(self, name, values):
        self.constants.append(numpy_helper.from_array(values, f"{name}_stored"))
        if values.dtype == np.float16:
            return self._node("Cast", [f"{name}_stored"], name, to=TensorProto.FLOAT)
        return f"{name}_stored"

    def _kernel(self, name, kernel):
        """Add a convolution's kernel, in ONNX's order: outputs, inputs, height, width."""
        if not self.in_eight_bits:
            return self._constant(name, np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)).astype(np.float16))
        numbers, scale = quantised(kernel)
        # Not DequantizeLinear: ONNX Runtime would do that anew for each face instead of once.
        stored = self._constant(name, np.ascontiguousarray(numbers.transpose(3, 2, 0, 1)))
        self._node("Cast", [stored], f"{name}_numbers", to=TensorProto.FLOAT)
        factor = self._constant(f"{name}_scale", scale.reshape(-1, 1, 1, 1))
        return self._node("Mul", [f"{name}_numbers", factor], name)

    def _add_rescaling(self, layer, inputs):
        name = layer.name
        scale = self._constant(f"{name}_scale", np.float32(layer.scale))
        self._node("Mul", [inputs[0], scale], f"{name}_product")
        offset = self._constant(f"{name}_offset", np.float32(layer.offset))
        self._node("Add", [f"{name}_product", offset], f"{name}_last")
        # Keras has the channel last, ONNX first; with one channel that is only another shape.
        shape = self._constant(f"{name}_shape", np.array([-1, 1, IMAGE_SIZE, IMAGE_SIZE], np.int64))
        self._node("Reshape", [f"{name}_last", shape], name)

    def _add_conv2d(self, layer, inputs):
        kernel, bias = layer.get_weights()
        operands = [self._kernel(f"{layer.name}_kernel", kernel)]
        operands.append(self._constant(f"{layer.name}_bias", bias.astype(np.float16)))
        # Keras pads below and to the right first, which ONNX calls SAME_UPPER.
        strides = list(layer.strides)
        self._node("Conv", [inputs[0], *operands], layer.name, strides=strides, auto_pad="SAME_UPPER")

    def _add_averagepooling2d(self, layer, inputs):
        self._node("AveragePool", inputs, layer.name, kernel_shape=[2, 2], strides=[2, 2])

    def _add_globalaveragepooling2d(self, layer, inputs):
        self._node("Flatten", [self._node("GlobalAveragePool", inputs, f"{layer.name}_map")], layer.name)

    def _add_dense(self, layer, inputs):
        weights = [weight.astype(np.float16) for weight in layer.get_weights()]
        operands = [self._constant(f"{layer.name}_{i}", weight) for i, weight in enumerate(weights)]
        self._node("Gemm", [inputs[0], *operands], f"{layer.name}_logits")
        self._node("Softmax", [f"{layer.name}_logits"], layer.name, axis=1)

    def _add_relu(self, layer, inputs):
        self._node("Relu", inputs, layer.name)

    def _add_add(self, layer, inputs):
        self._node("Add", inputs, layer.name)

    def _add_concatenate(self, layer, inputs):
        self._node("Concat", inputs, layer.name, axis=1)

    def _add_dropout(self, layer, inputs):
        self._node("Identity", inputs, layer.name)
