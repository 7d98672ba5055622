"""Flow matching: how the velocity network is taught, and how faces are drawn with it.

A face `x1` and Gaussian noise `x0` are joined by the straight line `(1 - t) * x0 + t * x1`; the network learns the
line's direction `x1 - x0` from the point at time `t` alone (Lipman et al. 2023, "Flow matching for generative
modeling", arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003). Following the learned direction from noise at time 0
to time 1 draws a face.
"""

import numpy as np

from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE

# The class number that stands for "any expression": labels dropped in training, and guidance's second opinion.
NO_CLASS = len(EMOTIONS)


def to_network_range(images):
    """Map `uint8` grey values 0..255 of any shape to `float32` in -1..1."""
    return images.astype("float32") / 127.5 - 1.0


def to_grey(values):
    """Map floats in -1..1 of any shape to `uint8` grey values 0..255, clipping what lies outside."""
    return np.clip(np.round((np.asarray(values, "float32") + 1.0) * 127.5), 0, 255).astype("uint8")


def class_balanced_probabilities(labels):
    """Return the probability `float64 (n,)` with which each image is drawn for training; they sum to 1.

    An image of a class with `count` members weighs `1 / sqrt(count)`: half way between FER-2013's own proportions,
    in which disgust would hardly be seen, and equal classes, in which its 436 images would be seen too often.
    """
    counts = np.bincount(labels)
    weights = 1.0 / np.sqrt(counts[labels])
    return weights / weights.sum()


def training_batch(images, labels, probabilities, size, generator, label_dropout=0.1):
    """Draw one batch for flow matching.

    Faces are mirrored with probability one half. Times follow the logit-normal distribution of Esser et al. 2024
    (arXiv:2403.03206, section 3.1), which spends most steps where the direction is hardest to tell.

    Args:
        images: uint8 (n, 48, 48).
        labels: integers (n,) in 0..6.
        probabilities: float (n,), as made by `class_balanced_probabilities`.
        size: faces in the batch.
        generator: a numpy.random.Generator.
        label_dropout: probability with which a label is replaced by `NO_CLASS`, so that classifier-free guidance is
            possible (Ho & Salimans 2022, arXiv:2207.12598).

    Returns:
        ((noisy float32 (size, 48, 48, 1), times float32 (size,), classes int32 (size,)), velocity), the velocity
        with the shape of the noisy faces.
    """
    chosen = generator.choice(len(images), size=size, p=probabilities)
    faces = images[chosen]
    mirrored = generator.random(size) < 0.5
    faces = to_network_range(np.where(mirrored[:, None, None], faces[:, :, ::-1], faces))[..., None]
    noise = generator.standard_normal(faces.shape, dtype="float32")
    times = (1.0 / (1.0 + np.exp(-generator.standard_normal(size)))).astype("float32")
    classes = np.where(generator.random(size) < label_dropout, NO_CLASS, labels[chosen]).astype("int32")
    mix = times[:, None, None, None]
    return ((1.0 - mix) * noise + mix * faces, times, classes), faces - noise


class NoisyFaces:
    """Makes the batch of a step: (inputs, velocity), see `training_batch`.

    Args:
        images: uint8 (n, 48, 48).
        labels: integers (n,) in 0..6.
        seed: with the step it decides everything random.
        batch_size: faces in a batch.
    """

    def __init__(self, images, labels, seed, batch_size):
        self.images, self.labels, self.seed, self.batch_size = images, labels, seed, batch_size
        self.probabilities = class_balanced_probabilities(labels)

    def __call__(self, step):
        generator = np.random.default_rng([self.seed, step])
        inputs, velocity = training_batch(self.images, self.labels, self.probabilities, self.batch_size, generator)
        return list(inputs), velocity


def time_grid(steps):
    """Return the `steps + 1` times from 0 to 1, `float32`, at which the sampler stops.

    They lie denser near both ends (half a cosine), where the direction turns most.
    """
    return ((1.0 - np.cos(np.linspace(0.0, np.pi, steps + 1))) / 2.0).astype("float32")


def integrate(velocity, noise, classes, steps=40, guidance=1.8, guided=(0.0, 1.0), early=None, autoguidance=1.0):
    """Follow the learned direction from noise to faces with Heun's method and two kinds of guidance.

    Heun's corrector is left out in the last step, as in Karras et al. 2022 (arXiv:2206.00364, algorithm 1).

    Args:
        velocity: a function of (points, times, classes) that returns an array of the shape of the points.
        noise: float32 (n, 48, 48, 1).
        classes: integers (n,).
        steps: steps from noise to face; each asks for the direction twice.
        guidance: above 1, the direction is pushed away from the one without a class, to
            `none + guidance * (class - none)` (Ho & Salimans 2022, arXiv:2207.12598), below 1 drawn towards it; one
            number, or one per face.
        guided: the times, first and last, between which that is done; guidance at the noisiest times narrows the
            variety, and at the last it only costs (Kynkäänniemi et al. 2024, arXiv:2404.07724).
        early: the same as `velocity` from a network that learned less; needed if `autoguidance` is above 1.
        autoguidance: above 1, the direction is also pushed away from the one of the early network for the same class,
            by `(autoguidance - 1) * (class - early)`. Where the two differ is what more training mended, and going
            further that way mends more, whatever the expression (Karras et al. 2024, "Guiding a diffusion model with
            a bad version of itself", arXiv:2406.02507).

    Returns:
        float32 with the shape of the noise, about -1..1.
    """
    points = np.asarray(noise, "float32")
    classes = np.asarray(classes, "int32")
    nobody = np.full_like(classes, NO_CLASS)
    strength = np.reshape(np.asarray(guidance, "float32"), (-1, 1, 1, 1))

    def direction(at, time):
        times = np.full(len(at), time, "float32")
        if ((strength == 1.0).all() and autoguidance == 1.0) or not guided[0] <= time <= guided[1]:
            return np.asarray(velocity(at, times, classes))
        both = np.asarray(
            velocity(np.concatenate([at, at]), np.concatenate([times, times]), np.concatenate([classes, nobody]))
        )
        with_class, without = np.split(both, 2)
        guided_by_class = without + strength * (with_class - without)
        if autoguidance == 1.0:
            return guided_by_class
        return guided_by_class + (autoguidance - 1.0) * (with_class - np.asarray(early(at, times, classes)))

    grid = time_grid(steps)
    for index, (start, end) in enumerate(zip(grid[:-1], grid[1:], strict=True)):
        first = direction(points, start)
        ahead = points + (end - start) * first
        if index == steps - 1:
            return ahead
        points = points + (end - start) * 0.5 * (first + direction(ahead, end))
    return points


def starting_noise(count, generator, image_size=IMAGE_SIZE):
    """Return Gaussian noise `float32 (count, image_size, image_size, 1)`."""
    return generator.standard_normal((count, image_size, image_size, 1), dtype="float32")
