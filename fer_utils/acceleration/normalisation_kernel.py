"""Batch normalisation that trains faster on a CPU: the same layers, computed by TensorFlow's fused kernel.

Keras 3 composes the operation of several passes over the activations, in float32 also where the network computes in
bfloat16. In a small network those passes are a quarter of a training step. The layers stay Keras's own: only what they
call while they train is another, so a model that is saved, or used, knows nothing of it.
"""

import contextlib
import types

import keras
from keras import ops

from fer_utils.models.keras_start import only_processors


@contextlib.contextmanager
def fused_normalisation(model):
    """Let a model's batch normalisation be computed by the fused kernel inside the `with` block, if it runs on a CPU.

    On a GPU, Keras lets XLA translate the whole training step, which joins the passes by itself.
    """
    fused = fuse(model) if only_processors() else []
    try:
        yield
    finally:
        for layer in fused:
            del layer.call


def fuse(model) -> list:
    """Let a model's batch normalisation be computed by the fused kernel from now on.

    That is with TensorFlow, for maps (n, height, width, channels). Otherwise nothing is changed.

    Args:
        model: a keras.Model that is built; what it has traced already stays as it is.

    Returns:
        The layers that were changed.
    """
    if keras.backend.backend() != "tensorflow":
        return []
    layers = [layer for layer in model._flatten_layers(include_self=False) if _can_be_fused(layer)]
    for layer in layers:
        layer.call = types.MethodType(_call, layer)
    return layers


def _can_be_fused(layer) -> bool:
    # A subclass may compute something else.
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.built
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and layer.scale
        and layer.center
        and not layer.synchronized
        and not getattr(layer, "renorm", False)
    )


def _call(layer, inputs, training=None, mask=None):
    """Do what BatchNormalization.call does."""
    if not training or not layer.trainable or mask is not None:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    import tensorflow as tf

    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=ops.cast(layer.gamma, "float32"),
        offset=ops.cast(layer.beta, "float32"),
        mean=tf.zeros([0]),
        variance=tf.zeros([0]),
        epsilon=layer.epsilon,
        is_training=True,
    )
    # The kernel divides by n - 1 where Keras divides by n.
    n = ops.cast(tf.size(inputs) / tf.shape(inputs)[-1], "float32")
    for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, variance * (n - 1) / n)):
        moving.assign(moving * layer.momentum + ops.cast(batch, moving.dtype) * (1.0 - layer.momentum))
    return y
