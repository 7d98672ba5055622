"""Drawing faces from the averaged weights of a training run."""

import keras
import numpy as np
from tqdm.auto import tqdm

from fer_utils.common.labels import EMOTIONS
from workshop.sample.flow import integrate, starting_noise, to_grey
from workshop.sample.train import load_weights

# Strength of guidance per class, in the order of `EMOTIONS`: read off a table like that of `python -m
# workshop.sample.quality.sample_guidance`, so that a classifier trained on real faces names the screened ones of each
# class about as often as real ones. All lie near 1: a network that learned for long enough needs little.
GUIDANCE = (1.35, 1.04, 1.31, 1.08, 1.45, 1.45, 1.2)

# How strongly faces are pushed away from those of the early network: see `flow.integrate`.
AUTOGUIDANCE = 2.2

GUIDED = (0.05, 0.8)
STEPS = 16


def load_generator(path, dtype=None):
    """Build the velocity network from a weights file.

    Args:
        path: a run's weights.npz.
        dtype: a Keras dtype policy, by default the one of the training run.

    Returns:
        A function velocity(points, times, classes) for `flow.integrate`.

    Raises:
        ValueError: if the file is not a weights file.
    """
    plan, weights = load_weights(path)
    model = plan.network(dtype)
    model.set_weights(weights)
    # Compiled for the sake of `jit_compile` alone: XLA is slow on CPUs, and TensorFlow would choose it by itself.
    model.compile(jit_compile=False if keras.backend.backend() == "tensorflow" else "auto")

    def velocity(points, times, classes):
        return model.predict_on_batch([points, times, classes])

    return velocity


def draw_faces(
    velocity,
    counts,
    seed,
    steps=STEPS,
    guidance=GUIDANCE,
    guided=GUIDED,
    batch_size=64,
    image_size=48,
    show_progress=True,
    early=None,
    autoguidance=1.0,
):
    """Draw faces of every class.

    The noise of a face depends on the seed, its class and its position in the class only, so drawing more faces
    leaves the first ones as they were.

    Args:
        velocity: from `load_generator`.
        counts: seven integers, how many faces of each class, in the order of `EMOTIONS`.
        seed: a whole number, at least 0.
        steps: as for `flow.integrate`.
        guidance: as for `flow.integrate`; one number, or one per class.
        guided: as for `flow.integrate`.
        batch_size: faces at a time.
        image_size: height and width in pixels, those of the network.
        show_progress: whether to show a progress bar.
        early: from `load_generator`, of the weights that the run kept early on.
        autoguidance: as for `flow.integrate`.

    Returns:
        (images uint8 (n, 48, 48), labels int64 (n,)), class after class.
    """
    labels = np.repeat(np.arange(len(EMOTIONS)), counts)
    strengths = np.broadcast_to(np.asarray(guidance, "float32"), (len(EMOTIONS),))
    noise = [
        starting_noise(1, np.random.default_rng([seed, code, position]), image_size)
        for code, count in enumerate(counts)
        for position in range(count)
    ]
    images = []
    with tqdm(total=len(labels), unit="face", disable=not show_progress) as bar:
        for start in range(0, len(labels), batch_size):
            # The last batch is filled up, because another size would be traced anew by some backends.
            chosen = np.arange(start, start + batch_size) % len(labels)
            faces = integrate(
                velocity,
                np.concatenate([noise[index] for index in chosen]),
                labels[chosen],
                steps,
                strengths[labels[chosen]],
                guided,
                early,
                autoguidance,
            )
            kept = min(batch_size, len(labels) - start)
            images.append(to_grey(faces[:kept, :, :, 0]))
            bar.update(kept)
    return np.concatenate(images), labels.astype("int64")
