"""The custom CNN: one training step in the number format that `PRECISION = "auto"` chooses, and keeping an epoch."""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.side_by_side import Comparison, compare
from fer_utils import models, training
from fer_utils.dataset import load_dataset
from fer_utils.quiet import load_keras

BATCH_SIZE = 64


def measure(steps: int = 2) -> list[Comparison]:
    """Measure a step of 64 images, and the saving of an epoch that is the best so far.

    Args:
        steps: steps in each run.
    """
    load_keras()
    precision, reason = training.choose_precision(), training.why_precision()
    images, labels = load_dataset(progress=False).subset("Training")
    batch = images[:BATCH_SIZE, ..., np.newaxis].astype("float32"), labels[:BATCH_SIZE]
    ours = _compiled()
    training.choose_precision("float32")
    plain = _compiled()
    training.choose_precision(precision)
    rows = [
        compare(
            f"{steps} training steps of the custom CNN, {BATCH_SIZE} images each, {reason}",
            "Keras's defaults, float32",
            lambda: [ours.train_on_batch(*batch) for _ in range(steps)],
            lambda: [plain.train_on_batch(*batch) for _ in range(steps)],
        )
    ]
    with tempfile.TemporaryDirectory() as folder:
        last, best = Path(folder) / "checkpoint.keras", Path(folder) / "model.keras"

        def keep():
            training._save_model(ours, last)
            training._duplicate(last, best)

        rows.append(
            compare(
                "keep the custom CNN after an epoch, with its optimizer, as the last and the best: saved and linked",
                "save it twice, as two `ModelCheckpoint` do",
                keep,
                lambda: [ours.save(path) for path in (last, best)],
            )
        )
    return rows


def _compiled():
    keras = load_keras()
    model = models.custom_cnn()
    model.compile(keras.optimizers.Adam(3e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
