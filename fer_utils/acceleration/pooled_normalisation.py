"""Batch normalisation and average pooling of a feature map, computed from two numbers a channel instead of the map.

Pooling is an average, and normalisation shifts and scales; so the average of the normalised map is the normalised
average. While training, the normalisation also needs the variance over the batch, which follows from the mean of the
squares. Both numbers belong to a picture alone: where the layers before are frozen they never change, and a map of
7×7×2048 values shrinks to 2×2048.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("fer_utils")
class PooledBatchNormalization(keras.layers.Layer):
    """`BatchNormalization` followed by `GlobalAveragePooling2D`, for moments (n, 2, channels) from `pooled_moments`.

    Args:
        norm: the keras.layers.BatchNormalization over the last axis whose weights are used, and trained.
    """

    def __init__(self, norm, **settings):
        super().__init__(**settings)
        self.norm = norm

    def build(self, input_shape):
        """Build the normalisation for as many channels."""
        if not self.norm.built:
            self.norm.build((input_shape[0], 1, 1, input_shape[-1]))

    def call(self, moments, training=None):
        """Return float (n, channels): what pooling the normalised map would give."""
        norm = self.norm
        means, squares = (ops.cast(moments[:, part], "float32") for part in (0, 1))
        if training and norm.trainable:
            mean = ops.mean(means, axis=0)
            variance = ops.maximum(ops.mean(squares, axis=0) - ops.square(mean), 0.0)
            for moving, batch in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
                moving.assign(moving * norm.momentum + ops.cast(batch, moving.dtype) * (1.0 - norm.momentum))
        else:
            mean, variance = (ops.cast(value, "float32") for value in (norm.moving_mean, norm.moving_variance))
        y = (means - mean) * ops.rsqrt(variance + norm.epsilon)
        if norm.scale:
            y = y * ops.cast(norm.gamma, "float32")
        if norm.center:
            y = y + ops.cast(norm.beta, "float32")
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Return (n, channels)."""
        return (input_shape[0], input_shape[-1])

    def get_config(self):
        """Return what `from_config` needs."""
        return super().get_config() | {"norm": keras.saving.serialize_keras_object(self.norm)}

    @classmethod
    def from_config(cls, config):
        """Build the layer with a normalisation of its own."""
        return cls(keras.saving.deserialize_keras_object(config.pop("norm")), **config)


def pooled_moments(maps):
    """Return each picture's mean and mean square of every channel, float32 (n, 2, channels).

    Args:
        maps: a Keras tensor (n, height, width, channels).
    """
    maps = ops.cast(maps, "float32")
    return ops.stack([ops.mean(maps, axis=(1, 2)), ops.mean(ops.square(maps), axis=(1, 2))], axis=1)


def shorten(frozen, tail):
    """Let the frozen part end in moments where the tail begins with batch normalisation and average pooling.

    Args:
        frozen: from `features.split_frozen`, ending in maps (n, height, width, channels).
        tail: likewise.

    Returns:
        (frozen part, tail) that answer the same; the ones given where the tail begins with something else.
    """
    norm, normalised = _only_reader(tail.inputs[0])
    if not isinstance(norm, keras.layers.BatchNormalization) or norm.axis not in (-1, 3) or tail.inputs[0].ndim != 4:
        return frozen, tail
    pool, pooled = _only_reader(normalised)
    if not isinstance(pool, keras.layers.GlobalAveragePooling2D) or pool.keepdims:
        return frozen, tail
    moments = keras.Model(frozen.inputs, pooled_moments(frozen.outputs[0]), name=frozen.name)
    inputs = keras.Input(moments.output_shape[1:], name="features")
    rest = keras.Model(pooled, tail.outputs[0])
    y = PooledBatchNormalization(norm, name=f"pooled_{norm.name}")(inputs)
    return moments, keras.Model(inputs, rest(y), name=tail.name)


def _only_reader(tensor):
    """Return (the layer that takes this tensor, what it makes of it), or (None, None) unless there is exactly one."""
    readers = [
        (node.operation, node.output_tensors[0])
        for node in tensor._keras_history.operation._outbound_nodes
        if any(taken is tensor for taken in node.input_tensors)
    ]
    return readers[0] if len(readers) == 1 else (None, None)
