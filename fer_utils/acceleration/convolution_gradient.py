"""The gradient of wide convolutions in half the time, where a CPU computes in bfloat16: by products of matrices.

What a kernel's weight has to learn from a batch is a sum over all pixels of all pictures. TensorFlow's routine for it
suits large maps with few channels: on the small maps at the end of a network it reaches a third of what a processor can
do with 16-bit numbers. There, the sum for each position of the kernel is one product of two matrices, in which only
those pixels count that lie inside the picture. The layers stay Keras's own, and so does all that they answer: only the
gradient of their kernel is found in another way.
"""

import contextlib
import functools
import time
import types

import keras
import numpy as np

from fer_utils.models.keras_start import only_processors

LARGEST_MAP = 16

FEWEST_WEIGHTS = {"same": 256 * 512, "valid": 256 * 256}

WORTH_IT = 1.2

"""Height and width, in pixels, of a map on which the products were faster with all of the kernels below."""

"""Channels in times channels out of the narrowest kernel for which they were, by the layer's padding."""

"""How many times faster they must be in the trial, so that chance does not decide."""


@contextlib.contextmanager
def faster_convolution_gradient(model):
    """Let a model learn its wide convolutions by products inside the `with` block, if that is faster here.

    On a GPU, and in float32, nothing is changed.

    Args:
        model: a keras.Model that is built; what it has traced already stays as it is.
    """
    changed = use_products(model) if only_processors() else []
    try:
        yield
    finally:
        for layer in changed:
            del layer.convolution_op


def use_products(model) -> list:
    """Let a model learn its wide convolutions by products from now on, if that is faster here.

    Returns:
        The layers that were changed.
    """
    if keras.backend.backend() != "tensorflow":
        return []
    layers = [layer for layer in model._flatten_layers(include_self=False) if _can_be_products(layer)]
    if not layers or speedup() < WORTH_IT:
        return []
    for layer in layers:
        layer.convolution_op = types.MethodType(_convolution, layer)
    return layers


@functools.cache
def speedup() -> float:
    """Return how many times faster the products are on this machine; tried once in a process, in a fifth of a second.

    Both ways are run in turn, and of each the fastest run counts: whatever else the machine does can only slow it down.
    """
    import tensorflow as tf

    kernel_shape = (3, 3, 512, 512)
    maps = tf.ones((64, 6, 6, 512), tf.bfloat16)
    ways = [tf.function(functools.partial(way, kernel_shape=kernel_shape)) for way in (by_routine, by_products)]

    def seconds(way) -> float:
        started = time.perf_counter()
        way(maps, maps)[0, 0, 0, 0].numpy()
        return time.perf_counter() - started

    # The first runs prepare the routines.
    runs = [[seconds(way) for way in ways] for _ in range(4)][1:]
    routine, products = (min(run) for run in zip(*runs, strict=True))
    return routine / products


def by_products(x, gradient, kernel_shape: tuple[int, ...], padding: str = "SAME"):
    """Return the gradient of a convolution's kernel: stride 1.

    Args:
        x: what the convolution was given, (n, height, width, channels in).
        gradient: of what it answered, (n, height, width, channels out), with another height and width if `padding` is
            "VALID".
        kernel_shape: (kernel height, kernel width, channels in, channels out); height and width are odd.
        padding: "SAME" if the map was padded with zeros to keep its size, "VALID" if not.

    Returns:
        A tensor of this shape, in the number format of both.
    """
    import tensorflow as tf

    products = []
    for down, right in np.ndindex(*kernel_shape[:2]):
        # The pixels that this weight of the kernel has seen, and what was to be learned from each of them.
        if padding == "SAME":
            down, right = down - kernel_shape[0] // 2, right - kernel_shape[1] // 2
            pair = _shifted(x, down, right), _shifted(gradient, -down, -right)
        else:
            height, width = gradient.shape[1:3]
            pair = x[:, down : down + height, right : right + width], gradient
        products.append(tf.matmul(*(tf.reshape(part, (-1, part.shape[-1])) for part in pair), transpose_a=True))
    return tf.reshape(tf.stack(products), kernel_shape)


def by_routine(x, gradient, kernel_shape: tuple[int, ...], padding: str = "SAME"):
    """Return the same by TensorFlow's routine."""
    import tensorflow as tf

    return tf.raw_ops.Conv2DBackpropFilter(
        input=x, filter_sizes=kernel_shape, out_backprop=gradient, strides=[1, 1, 1, 1], padding=padding
    )


def _shifted(maps, down: int, right: int):
    """Return the maps without the rows and columns that a shift by so many pixels moves out of them."""
    height, width = maps.shape[1:3]
    return maps[:, max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]


def _can_be_products(layer) -> bool:
    # A subclass may compute something else.
    return (
        type(layer) is keras.layers.Conv2D
        and layer.built
        and layer.trainable
        and layer.compute_dtype == "bfloat16"
        and layer.data_format == "channels_last"
        and (layer.strides, layer.dilation_rate, layer.groups) == ((1, 1), (1, 1), 1)
        and layer.kernel_size in ((1, 1), (3, 3))
        and layer.padding in ("same", "valid")
        and layer.kernel.shape[2] * layer.kernel.shape[3] >= FEWEST_WEIGHTS[layer.padding]
    )


def _convolution(layer, inputs, kernel):
    """Do what Conv2D.convolution_op does."""
    import tensorflow as tf

    if any(size is None or not 2 <= size <= LARGEST_MAP for size in inputs.shape[1:3]):
        return type(layer).convolution_op(layer, inputs, kernel)

    padding = layer.padding.upper()

    @tf.custom_gradient
    def convolve(x, weights):
        def gradients(gradient):
            of_input = tf.nn.conv2d_transpose(gradient, weights, tf.shape(x), 1, padding)
            return of_input, by_products(x, gradient, tuple(weights.shape), padding)

        return tf.nn.conv2d(x, weights, 1, padding), gradients

    # Not `keras.ops.convert_to_tensor`: it leaves a variable as it is if that will be cast when it is read, and outside
    # a traced step such a function must not read variables.
    return convolve(inputs, tf.cast(tf.convert_to_tensor(kernel), inputs.dtype))
