"""Augmentation: alone, and in an epoch of the custom CNN, against `ImageDataGenerator.flow_from_directory`.

`flow_from_directory` is the original project's way: it reads each file in each epoch and warps it with SciPy in one
Python thread. Ours holds the pictures in memory and warps them inside the network, one affine map each. A last row asks
what augmentation costs at all: an epoch with it against an epoch of the same network that has none.
"""

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.as_trained import as_trained
from benchmarks.side_by_side import Comparison, compare
from fer_utils import EMOTIONS, models
from fer_utils.common.labels import IMAGE_SIZE
from fer_utils.dataset import load_dataset
from fer_utils.models.keras_start import load_keras
from fer_utils.training.precision import choose_precision

BATCH_SIZE = 64
SETTINGS = {
    "rotation_range": 40,
    "width_shift_range": 0.2,
    "height_shift_range": 0.2,
    "shear_range": 0.2,
    "zoom_range": 0.2,
    "horizontal_flip": True,
    "rescale": 1 / 255,
}


def measure(n: int = 1024, n_epoch: int = 640) -> list[Comparison]:
    """Measure augmentation alone, then epochs.

    Args:
        n: pictures for augmentation alone.
        n_epoch: pictures in an epoch, a multiple of 64.
    """
    load_keras()
    precision = choose_precision()
    images, labels = load_dataset(progress=False).subset("Training")
    images, labels = np.ascontiguousarray(images[:n]), labels[:n]
    few, answers = images[:n_epoch, ..., np.newaxis], labels[:n_epoch]
    with tempfile.TemporaryDirectory() as folder:
        every, some = Path(folder) / "every", Path(folder) / "some"
        _write(every, images, labels)
        _write(some, images[:n_epoch], answers)
        augmented = _compiled(models.with_augmentation(models.custom_cnn(), seed=0))
        unchanged = _compiled(models.custom_cnn())
        ours, bare = (as_trained(model, _epoch(model, few, answers)) for model in (augmented, unchanged))
        choose_precision("float32")
        original = _compiled(models.custom_cnn())
        choose_precision(precision)
        epoch = f"epoch of the custom CNN with augmentation, {n_epoch} images"
        return [
            compare(
                f"augmentation alone, {n:,} images held in memory, one affine map each",
                "`ImageDataGenerator.flow_from_directory`",
                _all_augmented(images),
                lambda: _exhaust(_flow(every)),
            ),
            compare(
                f"{epoch}, {precision}",
                "`fit` on `ImageDataGenerator.flow_from_directory`, float32",
                ours,
                lambda: original.fit(_flow(some), epochs=1, verbose=0),
                3,
            ),
            _extra_cost(f"{epoch}, {precision}", ours, bare),
        ]


def _extra_cost(what: str, ours: Callable, bare: Callable) -> Comparison:
    """Compare epochs with and without augmentation, and say by how much the longer one is longer.

    A ratio with one decimal would hide it. Processor time is less disturbed by what else the machine does; both are
    medians of the pairs.
    """
    seconds: dict[Callable, list] = {ours: [], bare: []}

    def counted(run):
        started = time.process_time()
        run()
        seconds[run].append(time.process_time() - started)

    found = compare(what, "the same epoch without augmentation", lambda: counted(ours), lambda: counted(bare), 6)
    # The first pair is the one that `compare` does not count.
    processor, clock = (
        _percent(*pairs) for pairs in ((seconds[ours][1:], seconds[bare][1:]), (found.ours, found.plain))
    )
    return dataclasses.replace(found, what=f"{what}: {processor} processor time, {clock} time")


def _percent(ours: list[float], bare: list[float]) -> str:
    return f"{statistics.median(mine / other - 1 for mine, other in zip(ours, bare, strict=True)):+.1%}"


def _write(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Lay out uint8 (n, 48, 48) as Kaggle does: a JPEG each, in a folder for each emotion."""
    for emotion in EMOTIONS:
        (folder / emotion).mkdir(parents=True)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        cv2.imwrite(str(folder / EMOTIONS[label] / f"{number:05}.jpg"), image)


def _flow(folder: Path):
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    return ImageDataGenerator(**SETTINGS).flow_from_directory(
        folder,
        target_size=(IMAGE_SIZE, IMAGE_SIZE),
        color_mode="grayscale",
        classes=list(EMOTIONS),
        class_mode="sparse",
        batch_size=BATCH_SIZE,
        seed=0,
    )


def _exhaust(batches) -> None:
    for i in range(len(batches)):
        batches[i]


def _all_augmented(images: np.ndarray):
    """Return a function that augments uint8 (n, 48, 48) batch by batch, as a graph, which is how training runs it."""
    import tensorflow as tf

    layer = models.augmenter(seed=0)
    augment = tf.function(lambda batch: layer(batch, training=True))
    order = np.random.default_rng(0).permutation(len(images))

    def run():
        for start in range(0, len(images), BATCH_SIZE):
            augment(tf.constant(images[order[start : start + BATCH_SIZE], ..., np.newaxis])).numpy()

    return run


def _compiled(model):
    keras = load_keras()
    model.compile(keras.optimizers.Adam(3e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _epoch(model, images, labels):
    return lambda: model.fit(images, labels, batch_size=BATCH_SIZE, epochs=1, verbose=0)
