"""The two backbones as they are trained: for faces of any size, and with what makes them learn in few epochs."""

import keras
import numpy as np
from keras import layers

from fer_utils.models.custom_cnn import softmax_output
from fer_utils.models.transfer import as_backbone_input

NORM_MOMENTUM = 0.95

DROPOUT = 0.3

VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def trainable_network(architecture: str, image_size: int | None = None):
    """Build a backbone with pooling and seven probabilities on top.

    VGG16 gets batch normalisation behind each convolution (as Simonyan's network got later, "vgg16_bn"): it learns
    several times as fast, and afterwards the normalisation is folded into the convolutions, so that what ships is plain
    VGG16.

    Args:
        architecture: "VGG16" or "ResNet50V2".
        image_size: height and width in pixels; None for any.

    Returns:
        An uncompiled keras.Model, (n, image_size, image_size, 1) in 0..255 → float32 (n, 7). The names of the
        backbone's layers are those of `keras.applications`.
    """
    inputs = keras.Input((image_size, image_size, 1), name="image")
    x = as_backbone_input(inputs, architecture, 48)
    x = _vgg16(x) if architecture == "VGG16" else _resnet50v2(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(DROPOUT, name="dropout")(x)
    return keras.Model(inputs, softmax_output(x), name=f"{architecture.lower()}_faces")


def _vgg16(x):
    for block, (filters, count) in enumerate(VGG16_BLOCKS, start=1):
        for position in range(1, count + 1):
            name = f"block{block}_conv{position}"
            x = layers.Conv2D(filters, 3, padding="same", name=name)(x)
            x = layers.BatchNormalization(momentum=NORM_MOMENTUM, name=f"{name}_norm")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.MaxPooling2D(2, strides=2, name=f"block{block}_pool")(x)
    return x


def _resnet50v2(x):
    backbone = keras.applications.ResNet50V2(include_top=False, weights=None, input_tensor=x)
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = NORM_MOMENTUM
        elif layer.name.endswith("_3_conv"):
            # Each block begins as "pass it on" (Goyal et al. 2017, arXiv:1706.02677, section 5.1, do so by the scale of
            # a normalisation that this version of the network does not have): it learns three times as fast at first.
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    return backbone.output


def plain_backbone(architecture: str, trained, image_size: int = 48):
    """Return the `keras.applications` network, without its top, that answers as the trained network's backbone does.

    Args:
        architecture: "VGG16" or "ResNet50V2".
        trained: from `trainable_network`, with the weights that it learned.
        image_size: of the new network's input, in pixels.
    """
    build = getattr(keras.applications, architecture)
    backbone = build(include_top=False, weights=None, input_shape=(image_size, image_size, 3))
    for layer in backbone.layers:
        if layer.weights:
            weights = trained.get_layer(layer.name).get_weights()
            layer.set_weights(_folded(trained, layer.name, *weights) if architecture == "VGG16" else weights)
    return backbone


def _folded(trained, name: str, kernel: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
    """Return kernel and bias of a convolution with the batch normalisation behind it folded in."""
    norm = trained.get_layer(f"{name}_norm")
    gamma, beta, mean, variance = norm.get_weights()
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return [kernel * scale, beta + (bias - mean) * scale]
