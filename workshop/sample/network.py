"""The velocity network: a small UNet that says where every pixel of a noisy face should move.

The layout follows the UNets of diffusion models (Dhariwal & Nichol 2021, "Diffusion models beat GANs on image
synthesis", arXiv:2105.05233): residual blocks whose group normalisation is scaled and shifted by the time and the
class, and self-attention at the two coarse resolutions. Everything is written with `keras.ops`, so it runs under
every Keras backend.
"""

import math

import keras
from keras import layers, ops

from fer_utils.common.labels import IMAGE_SIZE
from workshop.sample.flow import NO_CLASS

# Channels at 24x24, 12x12 and 6x6.
WIDTHS = (64, 96, 144)


class SinusoidalEmbedding(layers.Layer):
    """Turns a number in 0..1 into `size` sines and cosines of it, with frequencies from 1 to 1,000 radians.

    Input float `(n,)`, output `(n, size)` (Vaswani et al. 2017, arXiv:1706.03762, section 3.5).
    """

    def __init__(self, size, **options):
        super().__init__(**options)
        self.size = size

    def call(self, values):
        """Embed `values`."""
        half = self.size // 2
        steps = ops.arange(half, dtype="float32") / (half - 1)
        # The angles need float32: at a frequency of 1,000 bfloat16 would wipe out the differences between times.
        angles = ops.expand_dims(ops.cast(values, "float32"), -1) * ops.exp(steps * math.log(1000.0))
        return ops.cast(ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1), self.compute_dtype)


class OneHot(layers.Layer):
    """Turns integers `(n,)` in 0..`size` - 1 into rows `(n, size)` with `height` in that place and 0 elsewhere."""

    def __init__(self, size, height=1.0, **options):
        super().__init__(**options)
        self.size, self.height = size, height

    def call(self, numbers):
        """Encode `numbers`."""
        return self.height * ops.one_hot(numbers, self.size, dtype=self.compute_dtype)


class AdaptiveGroupNormalization(layers.Layer):
    """Group normalisation whose scale and shift are a linear function of a condition.

    Inputs `x (n, height, width, channels)` and `condition (n, features)`; the output has the shape of `x`.
    Group normalisation: Wu & He 2018, arXiv:1803.08494; the adaptive form: Dhariwal & Nichol 2021, section 3.
    """

    def __init__(self, groups=8, **options):
        super().__init__(**options)
        self.groups = groups

    def build(self, x_shape, condition_shape):
        """Create the linear map; it starts at zero, that is at plain group normalisation."""
        self.channels = x_shape[-1]
        self.linear = layers.Dense(2 * self.channels, kernel_initializer="zeros", dtype=self.dtype_policy)
        self.linear.build(condition_shape)

    def compute_output_shape(self, x_shape, condition_shape):
        """Return the shape of `x`."""
        return x_shape

    def _group_mean(self, per_channel):
        size = self.channels // self.groups
        mean = ops.mean(ops.reshape(per_channel, (-1, self.groups, size)), axis=-1)
        return ops.repeat(mean, size, axis=-1)

    def call(self, x, condition):
        """Normalise `x` and modulate it by `condition`."""
        scale, shift = ops.split(ops.cast(self.linear(condition), "float32"), 2, axis=-1)
        exact = ops.cast(x, "float32")
        mean = self._group_mean(ops.mean(exact, axis=(1, 2)))
        square = self._group_mean(ops.mean(ops.square(exact), axis=(1, 2)))
        # Normalisation and modulation folded into one factor and one offset per channel: the large array is
        # passed over once instead of four times.
        factor = ops.rsqrt(ops.maximum(square - ops.square(mean), 0.0) + 1e-5) * (1.0 + scale)
        offset = shift - mean * factor
        shape = (-1, 1, 1, self.channels)
        return x * ops.reshape(ops.cast(factor, x.dtype), shape) + ops.reshape(ops.cast(offset, x.dtype), shape)


class SelfAttention(layers.Layer):
    """Residual multi-head self-attention over the positions of a feature map `(n, height, width, channels)`.

    Vaswani et al. 2017, arXiv:1706.03762; the output projection starts at zero, so the layer starts as identity.
    """

    def __init__(self, heads=4, **options):
        super().__init__(**options)
        self.heads = heads

    def build(self, shape):
        """Create the two projections and the normalisation."""
        height, width, channels = shape[1:]
        self.positions, self.channels = height * width, channels
        self.normalization = layers.LayerNormalization(dtype=self.dtype_policy)
        self.project_in = layers.Dense(3 * channels, use_bias=False, dtype=self.dtype_policy)
        self.project_out = layers.Dense(channels, kernel_initializer="zeros", dtype=self.dtype_policy)
        self.normalization.build((None, self.positions, channels))
        self.project_in.build((None, self.positions, channels))
        self.project_out.build((None, self.positions, channels))
        # Faces are roughly aligned, so knowing where one looks is worth a learned map.
        self.place = self.add_weight(shape=(1, self.positions, channels), initializer="zeros", name="place")

    def compute_output_shape(self, shape):
        """Return the shape of the input."""
        return shape

    def call(self, x):
        """Let every position look at every other."""
        flat = ops.reshape(x, (-1, self.positions, self.channels))
        mixed = self.project_in(self.normalization(flat) + ops.cast(self.place, flat.dtype))
        mixed = ops.reshape(mixed, (-1, self.positions, 3, self.heads, self.channels // self.heads))
        query, key, value = ops.unstack(ops.transpose(mixed, (2, 0, 3, 1, 4)), 3, axis=0)
        similarity = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        weights = ops.softmax(similarity * (self.channels // self.heads) ** -0.5, axis=-1)
        attended = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        attended = self.project_out(ops.reshape(attended, (-1, self.positions, self.channels)))
        return x + ops.reshape(attended, ops.shape(x))


class PixelUnshuffle(layers.Layer):
    """Moves each 2x2 block of pixels into channels: `(n, h, w, c)` to `(n, h/2, w/2, 4c)`, losing nothing.

    Shi et al. 2016, arXiv:1609.05158, inverted. It quarters the cost of the finest resolution.
    """

    def compute_output_shape(self, shape):
        """Return the halved shape."""
        return (shape[0], shape[1] // 2, shape[2] // 2, shape[3] * 4)

    def call(self, x):
        """Rearrange `x`."""
        height, width, channels = x.shape[1:]
        x = ops.reshape(x, (-1, height // 2, 2, width // 2, 2, channels))
        return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height // 2, width // 2, 4 * channels))


class PixelShuffle(layers.Layer):
    """The inverse of `PixelUnshuffle`: `(n, h, w, 4c)` to `(n, 2h, 2w, c)`."""

    def compute_output_shape(self, shape):
        """Return the doubled shape."""
        return (shape[0], shape[1] * 2, shape[2] * 2, shape[3] // 4)

    def call(self, x):
        """Rearrange `x`."""
        height, width, channels = x.shape[1], x.shape[2], x.shape[3] // 4
        x = ops.reshape(x, (-1, height, width, 2, 2, channels))
        return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, 2 * height, 2 * width, channels))


def residual_block(x, condition, width, dtype):
    """Return `x` plus two 3x3 convolutions of it, each after adaptive group normalisation and SiLU.

    `x` is `(n, height, width, any)`, the result `(n, height, width, width)`.
    """
    hidden = AdaptiveGroupNormalization(dtype=dtype)(x, condition)
    hidden = layers.Conv2D(width, 3, padding="same", dtype=dtype)(layers.Activation("silu", dtype=dtype)(hidden))
    hidden = AdaptiveGroupNormalization(dtype=dtype)(hidden, condition)
    hidden = layers.Activation("silu", dtype=dtype)(hidden)
    hidden = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros", dtype=dtype)(hidden)
    if x.shape[-1] != width:
        x = layers.Conv2D(width, 1, dtype=dtype)(x)
    return layers.Add(dtype=dtype)([x, hidden])


def _condition(times, classes, size, dtype):
    """Return the joint embedding of time and class, (n, size + 8)."""
    condition = SinusoidalEmbedding(size // 2, dtype=dtype)(times)
    condition = layers.Dense(size, activation="silu", dtype=dtype)(condition)
    condition = layers.Dense(size, dtype=dtype)(condition)
    condition = layers.Add(dtype=dtype)([condition, layers.Embedding(NO_CLASS + 1, size, dtype=dtype)(classes)])
    condition = layers.Activation("silu", dtype=dtype)(condition)
    # The class once more, as it is: Keras starts embeddings near zero, and next to the time's large features the
    # network would not notice the class for more than a thousand steps.
    once_more = OneHot(NO_CLASS + 1, height=2.0, dtype=dtype)(classes)
    return layers.Concatenate(dtype=dtype)([condition, once_more])


def build_network(widths=WIDTHS, blocks=2, condition_size=128, image_size=IMAGE_SIZE, dtype="float32"):
    """Build the velocity network.

    Args:
        widths: channels per resolution, from the finest to the coarsest, multiples of 8.
        blocks: residual blocks per resolution on the way down and again on the way up.
        condition_size: features of the joint embedding of time and class.
        image_size: height and width in pixels, a multiple of `2 ** len(widths)`.
        dtype: a Keras dtype policy such as "float32" or "mixed_bfloat16".

    Returns:
        A keras.Model of three inputs, noisy faces float32 (n, image_size, image_size, 1), times float32 (n,) in 0..1
        (0 is pure noise, 1 a face) and classes int32 (n,) in 0..7 (7 is `NO_CLASS`), and one output, the velocity,
        float32 with the shape of the faces.

    Raises:
        ValueError: for an unsuitable `image_size`.
    """
    if image_size % 2 ** len(widths):
        raise ValueError(f"image_size must be a multiple of {2 ** len(widths)} for {len(widths)} widths")
    faces = keras.Input((image_size, image_size, 1), name="faces")
    times = keras.Input((), name="times")
    classes = keras.Input((), dtype="int32", name="classes")

    condition = _condition(times, classes, condition_size, dtype)
    x = layers.Conv2D(widths[0], 3, padding="same", dtype=dtype)(PixelUnshuffle(dtype=dtype)(faces))
    skips = []
    for level, width in enumerate(widths):
        if level:
            x = layers.Conv2D(width, 3, strides=2, padding="same", dtype=dtype)(x)
        # The finest resolution costs most and sees least, so on the way down it gets a single block.
        for _ in range(blocks if level else 1):
            x = residual_block(x, condition, width, dtype)
            skips.append(x)
        if level:
            x = skips[-1] = SelfAttention(dtype=dtype)(x)
    x = residual_block(x, condition, widths[-1], dtype)
    for level in reversed(range(len(widths))):
        for block in range(blocks):
            if level or block == 0:
                x = layers.Concatenate(dtype=dtype)([x, skips.pop()])
            x = residual_block(x, condition, widths[level], dtype)
        if level:
            x = SelfAttention(dtype=dtype)(x)
            # Convolving before the enlargement is four times cheaper than after it.
            x = layers.Conv2D(widths[level - 1], 3, padding="same", dtype=dtype)(x)
            x = layers.UpSampling2D(2, dtype=dtype)(x)

    x = AdaptiveGroupNormalization(dtype=dtype)(x, condition)
    x = layers.Activation("silu", dtype=dtype)(x)
    x = layers.Conv2D(4, 3, padding="same", kernel_initializer="zeros", dtype="float32")(x)
    return keras.Model([faces, times, classes], PixelShuffle(dtype="float32")(x), name="velocity")
