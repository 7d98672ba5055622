"""The custom CNN: one training step as `training.train` does it."""

import numpy as np

from benchmarks.as_trained import as_trained
from benchmarks.side_by_side import Comparison, compare
from fer_utils import models
from fer_utils.dataset import load_dataset
from fer_utils.models.keras_start import load_keras
from fer_utils.training.precision import choose_precision, why_precision

BATCH_SIZE = 64
NARROW = 0.25
"""The share of the filters in the profiles for a laptop."""


def measure(steps: int = 2) -> list[Comparison]:
    """Measure a step of 64 images.

    Args:
        steps: steps in each run.
    """
    load_keras()
    precision, reason = choose_precision(), why_precision()
    images, labels = load_dataset(progress=False).subset("Training")
    batch = images[:BATCH_SIZE, ..., np.newaxis].astype("float32"), labels[:BATCH_SIZE]
    ours, narrow, narrow_plain = _compiled(), _compiled(NARROW), _compiled(NARROW)
    choose_precision("float32")
    plain = _compiled()
    choose_precision(precision)
    return [
        compare(
            f"{steps} training steps of the custom CNN, {BATCH_SIZE} images each, fused kernels, {reason}",
            "Keras's defaults, float32",
            as_trained(ours, _training(ours, batch, steps)),
            _training(plain, batch, steps),
        ),
        compare(
            f"{10 * steps} training steps of the custom CNN, {NARROW:.0%} of its filters, {BATCH_SIZE} images each, "
            f"{precision}: batch normalisation and Adam by fused kernels",
            "Keras's own, same number format",
            as_trained(narrow, _training(narrow, batch, 10 * steps)),
            _training(narrow_plain, batch, 10 * steps),
        ),
        compare(
            f"{10 * steps} steps of Adam alone, {ours.count_params():,} parameters of the custom CNN",
            "Keras's own, without TensorFlow's kernel",
            as_trained(ours, _optimizing(ours, 10 * steps)),
            _optimizing(_compiled(), 10 * steps),
        ),
    ]


def _training(model, batch: tuple, steps: int):
    """Return a function that lets a model learn the same batch again and again."""
    return lambda: [model.train_on_batch(*batch) for _ in range(steps)]


def _optimizing(model, steps: int):
    """Return a function that lets a model's optimizer take steps, all along the same gradients."""
    import tensorflow as tf

    gradients = [tf.ones(variable.shape) for variable in model.trainable_variables]
    step = tf.function(lambda: model.optimizer.apply(gradients, model.trainable_variables))
    return lambda: [step() for _ in range(steps)]


def _compiled(width: float = 1.0):
    keras = load_keras()
    model = models.custom_cnn(width=width)
    model.compile(keras.optimizers.Adam(3e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
