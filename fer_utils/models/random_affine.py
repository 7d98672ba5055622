"""Five random transformations as one map: each picture is interpolated a single time.

Rotation, shift, shear, zoom and mirroring all send a pixel's coordinates (x, y, 1) through a 3×3 matrix, and so does
one after another: the product of the matrices. Keras's layers in a row interpolate the picture four times, which takes
about three times as long and blurs it. Importing this module imports Keras.
"""

import math

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("fer_utils")
class RandomAffine(keras.layers.Layer):
    """Change each picture by one random affine map; active only with `training=True`.

    The maps have the distribution of RandomRotation, RandomTranslation, RandomShear, RandomZoom and RandomFlip in this
    order, as `augmentation.transformations` sets them. It computes in float32 whatever the network computes in: pixel
    coordinates are too fine for 8 significant bits. The border is filled with the nearest pixel.

    Args:
        rotation: up to so many degrees either way.
        shift: up to this share of the width and of the height, either way.
        shear: up to this share, in x and in y.
        zoom: up to this share, nearer or farther, in x and in y.
        flip: whether to mirror every second picture, left and right.
        warm_up: training steps in which all of this but the mirroring grows from nothing to its full size; 0 has all of
            it from the first step on. A network that knows nothing yet may learn nothing for long from strongly changed
            pictures; easy ones first is called a curriculum (Bengio et al. 2009, "Curriculum learning").
        seed: makes the sequence of random draws repeatable.

    Raises:
        ValueError: if `flip` is anything else, for example the "vertical" of keras.layers.RandomFlip.
    """

    def __init__(self, rotation=0.0, shift=0.0, shear=0.0, zoom=0.0, flip=False, warm_up=0, seed=None, **kwargs):
        if flip not in (True, False):
            raise ValueError(f"flip is True or False, left and right, not {flip!r}")
        super().__init__(**{"dtype": "float32", **kwargs})
        self.settings = {"rotation": rotation, "shift": shift, "shear": shear, "zoom": zoom, "flip": flip}
        self.warm_up, self.seed = warm_up, seed
        self.generator = keras.random.SeedGenerator(seed)
        # TensorFlow's kernel for affine maps is not one that XLA can compile.
        self.supports_jit = keras.backend.backend() != "tensorflow"

    def call(self, images, training=None):
        """Return changed copies of images (n, height, width, channels), float32, of the same shape."""
        images = ops.cast(images, self.compute_dtype)
        if not training:
            return images
        n, height, width = ops.shape(images)[:3]
        settings = self.settings
        if self.warm_up:
            strength = self._strength()
            settings = {name: size if name == "flip" else size * strength for name, size in settings.items()}
        drawn = keras.random.uniform((n, 9), -1.0, 1.0, dtype="float32", seed=self.generator)
        matrices = affine_matrices(drawn, height, width, **settings)
        # The operation takes the first eight entries; the ninth is always 1.
        transforms = ops.reshape(matrices, (n, 9))[:, :8]
        return ops.image.affine_transform(images, transforms, fill_mode="nearest", data_format="channels_last")

    def _strength(self):
        """Return how much of its full size a change has at this step, float32 in 0..1."""
        # The generator's second number is how often it has drawn: once a step.
        drawn_before = ops.cast(self.generator.state.value[1], "float32")
        return ops.minimum(drawn_before / self.warm_up, 1.0)

    def save_own_variables(self, store):
        """Save how far the draws have come, which Keras does not do by itself: a training that goes on needs it."""
        store["drawn"] = ops.convert_to_numpy(self.generator.state.value)

    def load_own_variables(self, store):
        # Files from before this was saved have nothing here.
        if "drawn" in store:
            self.generator.state.assign(np.array(store["drawn"]))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), **self.settings, "warm_up": self.warm_up, "seed": self.seed}


def affine_matrices(drawn, height, width, rotation=0.0, shift=0.0, shear=0.0, zoom=0.0, flip=False):
    """Turn random numbers into maps from a pixel of the changed picture to where it is found in the original.

    Args:
        drawn: float32 (n, 9) in −1..1: angle; shift in x and y; the direction of the shear and its size in x and y;
            zoom in x and y; mirrored if at most 0.
        height: of the pictures, in pixels.
        width: of the pictures, in pixels.
        rotation: the angle at 1, in degrees.
        shift: the shift at 1, as a share of width and height.
        shear: the shear at 1 (at −1 there is none), as a share.
        zoom: the zoom at 1, as a share.
        flip: whether anything is mirrored.

    Returns:
        float32 (n, 3, 3), for columns (x, y, 1), x to the right and y down from the middle of the upper left pixel.
    """
    columns = ops.unstack(drawn, 9, axis=-1)
    angle, shift_x, shift_y, direction, shear_x, shear_y, zoom_x, zoom_y, mirrored = columns
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    zero, one = ops.zeros_like(angle), ops.ones_like(angle)

    def matrix(*entries):
        return ops.reshape(ops.stack([*entries, zero, zero, one], axis=-1), (-1, 3, 3))

    def around_the_middle(a, b, c, d):
        x, y = (width - 1) / 2, (height - 1) / 2
        return matrix(a, b, x - a * x - b * y, c, d, y - c * x - d * y)

    angle = angle * (rotation * math.pi / 180)
    turned = around_the_middle(ops.cos(angle), -ops.sin(angle), ops.sin(angle), ops.cos(angle))
    shifted = matrix(one, zero, -shift_x * shift * width, zero, one, -shift_y * shift * height)
    # As Keras's layer: both directions slant alike, around the upper left corner.
    sign = ops.where(direction > 0, -one, one)
    slants = (sign * shear * (slant + 1) / 2 for slant in (shear_x, shear_y))
    slant_x, slant_y = slants
    sheared = matrix(one, slant_x, zero, slant_y, one, zero)
    zoomed = around_the_middle(1 + zoom * zoom_x, zero, zero, 1 + zoom * zoom_y)
    flipped = around_the_middle(ops.where(mirrored <= 0, -one, one) if flip else one, zero, zero, one)
    # Read from the right: what a pixel of the result passes through on its way back.
    return turned @ shifted @ sheared @ zoomed @ flipped
