"""The changes of `augment`, as a Keras layer: for where the pictures are changed by the GPU that learns from them."""

import keras
import numpy as np
from keras import ops

from fer_utils.common.labels import IMAGE_SIZE
from workshop.model.augment import Distortion


class DistortedFaces(keras.layers.Layer):
    """Make a training batch from faces and the probabilities to learn; what is drawn has the distribution of `augment`.

    It computes in float32 whatever the network computes in, and does not round to whole grey levels.

    Args:
        size: height and width of the result in pixels, at most 48: a window around the face's centre.
        distortion: how far to go, a `Distortion`.
        seed: makes the sequence of random draws repeatable.
    """

    def __init__(self, size=IMAGE_SIZE, distortion=None, seed=None, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.size = size
        self.distortion = distortion or Distortion()
        self.generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, images, targets):
        """Return the batch.

        Args:
            images: (n, 48, 48, 1) in 0..255.
            targets: float32 (n, 7), rows that sum to 1.

        Returns:
            (float32 (n, size, size, 1) in 0..255, float32 (n, 7), each row of which sums to 1).
        """
        n, distortion = ops.shape(images)[0], self.distortion
        maps = self._maps(n)
        faces = ops.image.affine_transform(
            ops.cast(images, "float32"), maps, fill_mode="nearest", data_format="channels_last"
        )[:, : self.size, : self.size]
        gain = 1 + self._uniform(n, distortion.contrast)[:, :, None, None]
        light = 255 * self._uniform(n, distortion.brightness)[:, :, None, None]
        faces = ops.clip((faces - 128) * gain + 128 + light, 0, 255)
        faces = self._erased(faces, n)
        if not distortion.mixup:
            return faces, targets
        share = keras.random.beta((), distortion.mixup, distortion.mixup, dtype="float32", seed=self.generator)
        blend = self._uniform(1, 1.0)[0, 0] < 2 * distortion.mixed - 1
        share = ops.where(blend, ops.maximum(share, 1 - share), 1.0)
        # The faces of a batch are in random order already.
        return tuple(share * part + (1 - share) * ops.roll(part, 1, axis=0) for part in (faces, targets))

    def _uniform(self, n, limit, columns=1):
        """Return float32 (n, columns) between -limit and limit."""
        return keras.random.uniform((n, columns), -limit, limit, dtype="float32", seed=self.generator)

    def _maps(self, n):
        """Return float32 (n, 8): from a pixel of the result to where it is found, as `affine_transform` takes them."""
        distortion = self.distortion
        angle = self._uniform(n, np.deg2rad(distortion.rotation))[:, 0]
        scale = ops.exp(self._uniform(n, np.log1p(distortion.scale))[:, 0])
        shear = self._uniform(n, distortion.shear)[:, 0]
        mirror = ops.where(self._uniform(n, 1.0)[:, 0] < 0, -1.0, 1.0)
        shift_x, shift_y = ops.unstack(self._uniform(n, distortion.shift, 2), 2, axis=1)
        middle, window = (IMAGE_SIZE - 1) / 2, (self.size - 1) / 2
        # The inverse of scale × rotation × shear × mirror.
        cos, sin = ops.cos(angle) / scale, ops.sin(angle) / scale
        a, b = mirror * (cos + shear * sin), mirror * (sin - shear * cos)
        c, d = -sin, cos
        left, up = window + shift_x, window + shift_y
        zero = ops.zeros_like(angle)
        columns = [a, b, middle - a * left - b * up, c, d, middle - c * left - d * up, zero, zero]
        return ops.stack(columns, axis=1)

    def _erased(self, faces, n):
        """Hide a rectangle of one grey in some of the faces."""
        size = self.size
        smallest, largest = size // 8, size // 3
        unit = (self._uniform(n, 1.0, 6) + 1) / 2
        hidden, grey = unit[:, 0] < self.distortion.erased, ops.floor(unit[:, 1] * 256)
        inside = []
        for length, start in ((unit[:, 2], unit[:, 3]), (unit[:, 4], unit[:, 5])):
            length = smallest + ops.floor(length * (largest - smallest + 1))
            start = ops.floor(start * (size - length + 1))[:, None]
            pixel = ops.arange(size, dtype="float32")[None]
            inside.append((pixel >= start) & (pixel < start + length[:, None]))
        rows, columns = inside
        rectangle = rows[:, :, None] & columns[:, None, :] & hidden[:, None, None]
        return ops.where(rectangle[..., None], ops.reshape(ops.minimum(grey, 255.0), (-1, 1, 1, 1)), faces)
