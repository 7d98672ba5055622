"""What the compact model sees of a face while it learns: another position, angle, size, light, and a part hidden.

The pictures are changed on the processor with OpenCV, one affine map each, because a face of 48 pixels is changed in
some microseconds; Keras's layers would chain one interpolation after another.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from fer_utils.common.labels import IMAGE_SIZE


@dataclass(frozen=True)
class Distortion:
    """How far the pictures may be changed.

    `rotation` in degrees; `shift` in pixels; `scale`, `shear`, `brightness` and `contrast` as fractions; `erased` is
    the probability of hiding a rectangle (Zhong et al. 2017, "Random erasing data augmentation", arXiv:1708.04896);
    `mixup` the parameter of the beta distribution that two pictures are blended with (Zhang et al. 2018,
    arXiv:1710.09412), 0 for none; `mixed` is the share of the batches in which that is done.
    """

    rotation: float = 15.0
    shift: float = 4.0
    scale: float = 0.2
    shear: float = 0.1
    brightness: float = 0.2
    contrast: float = 0.3
    erased: float = 0.5
    mixup: float = 0.2
    mixed: float = 0.5


def distorted(images, size, generator, distortion=Distortion()):  # noqa: B008 - frozen, so it can be shared
    """Return changed copies of faces, mirrored with probability one half.

    Args:
        images: uint8 (n, 48, 48).
        size: height and width of the result in pixels, at most 48: a window around the face's centre.
        generator: a numpy.random.Generator.
        distortion: how far to go.

    Returns:
        uint8 (n, size, size).
    """
    result = np.empty((len(images), size, size), np.uint8)
    middle, window = (IMAGE_SIZE - 1) / 2, (size - 1) / 2
    for index, image in enumerate(images):
        angle = np.deg2rad(generator.uniform(-distortion.rotation, distortion.rotation))
        scale = np.exp(generator.uniform(-1, 1) * np.log1p(distortion.scale))
        sheared = generator.uniform(-distortion.shear, distortion.shear)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = scale * turn @ np.array([[1.0, sheared], [0.0, 1.0]])
        if generator.random() < 0.5:
            linear = linear @ np.diag([-1.0, 1.0])
        offset = window - linear @ [middle, middle] + generator.uniform(-distortion.shift, distortion.shift, 2)
        changed = cv2.warpAffine(
            image, np.column_stack([linear, offset]), (size, size), borderMode=cv2.BORDER_REPLICATE
        )
        gain = 1 + generator.uniform(-distortion.contrast, distortion.contrast)
        light = 255 * generator.uniform(-distortion.brightness, distortion.brightness)
        changed = cv2.convertScaleAbs(np.clip((changed - 128.0) * gain + 128 + light, 0, 255))
        if generator.random() < distortion.erased:
            height, width = generator.integers(size // 8, size // 3, 2, endpoint=True)
            top = generator.integers(0, size - height, endpoint=True)
            left = generator.integers(0, size - width, endpoint=True)
            changed[top : top + height, left : left + width] = generator.integers(0, 256)
        result[index] = changed
    return result


def training_batch(images, targets, size, generator, distortion=Distortion()):  # noqa: B008
    """Return one batch ready for the network: changed faces and the probabilities to learn.

    Args:
        images: uint8 (n, 48, 48).
        targets: float32 (n, 7), the probabilities to learn; rows that sum to 1.
        size: height and width in pixels that the network is shown.
        generator: a numpy.random.Generator.
        distortion: how far to go.

    Returns:
        (float32 (n, size, size, 1) in 0..255, float32 (n, 7), each row of which sums to 1).
    """
    faces = distorted(images, size, generator, distortion).astype(np.float32)[..., np.newaxis]
    if distortion.mixup and generator.random() < distortion.mixed:
        partner = generator.permutation(len(faces))
        share = np.float32(generator.beta(distortion.mixup, distortion.mixup))
        share = max(share, 1 - share)
        faces = share * faces + (1 - share) * faces[partner]
        targets = share * targets + (1 - share) * targets[partner]
    return faces, targets


class ChangedFaces:
    """Makes the batch of a step: (faces, probabilities to learn), see `training_batch`.

    Every face comes once an epoch: the order of an epoch depends on the seed and the epoch alone.

    Args:
        images: uint8 (n, 48, 48).
        targets: float32 (n, 7).
        seed: with the step it decides everything random.
        batch_size: faces in a batch.
        distortion: how far the pictures are changed.
    """

    def __init__(self, images, targets, seed, batch_size, distortion):
        self.images, self.targets = images, targets
        self.seed, self.batch_size, self.distortion = seed, batch_size, distortion

    def __call__(self, step, window):
        size = self.batch_size
        epoch, position = divmod(step - 1, max(1, len(self.images) // size))
        order = np.random.default_rng([self.seed, epoch, 1]).permutation(len(self.images))
        chosen = order[position * size : (position + 1) * size]
        generator = np.random.default_rng([self.seed, step])
        return training_batch(self.images[chosen], self.targets[chosen], window, generator, self.distortion)
