"""What training costs, by number of images and by image size: writes the tables in docs/scaling.md.

`python -m benchmarks.scaling` takes a few minutes on two cores. It counts core-seconds, the processor time of all cores
together, which other programs on the machine hardly change. Weights are random, which cost what others cost, and
pictures are repeated where the data has too few. The large sizes are measured on few images and said so.
"""

import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fer_utils import models
from fer_utils.dataset import find_source, load_dataset
from fer_utils.dataset.download import PUBLISHED_COUNTS
from fer_utils.models.keras_start import load_keras
from fer_utils.training import frozen_layers
from fer_utils.training.batches import batches
from fer_utils.training.precision import choose_precision

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
BEGIN, END = "<!-- measured: begin, written by `python -m benchmarks.scaling` -->", "<!-- measured: end -->"
BATCH_SIZE = 64
NUMBERS = (500, 1000, 2000, 4000)
"""Images in an epoch at 48 pixels. The custom CNN stops at the second: its epochs are the long ones."""
SIZES = {48: 512, 96: 128, 160: 48, 224: 32}
"""Image sizes in pixels, and on how many images each is measured."""
FIT_SHARE = 0.8
TAILS = {"VGG16": "VGG16, last three layers trained", "ResNet50V2": "ResNet50V2, head trained"}


def measure_numbers(images: np.ndarray, labels: np.ndarray, bar: tqdm) -> list[str]:
    """Return the lines of the table by number of images: an epoch at 48 pixels.

    Args:
        images: uint8 (m, 48, 48), repeated as needed.
        labels: int64 (m,).
        bar: moved once for each line.
    """
    lines = []
    for name in ("custom CNN", *TAILS):
        if name == "custom CNN":
            model, x, numbers = _compiled(models.custom_cnn()), models.as_input(images), NUMBERS[:2]
        else:
            frozen, tail = frozen_layers.split_frozen(_frozen_model(name, 48))
            few = SIZES[48]
            x = np.asarray(frozen.predict(models.as_input(images[:few]), BATCH_SIZE, verbose=0), np.float16)
            model, numbers = _compiled(tail), NUMBERS
        for n in numbers:
            seconds = _epoch_seconds(model, x, labels, n)
            lines.append(
                f"| {TAILS.get(name, name)} | {n:,} | {_shown(seconds)} | {_shown(1000 * seconds / n)} | "
                f"{_minutes(seconds / n * n_fitted())} |"
            )
            bar.update()
    return lines


def measure_sizes(images: np.ndarray, labels: np.ndarray, bar: tqdm) -> list[str]:
    """Return the lines of the table by image size: the frozen layers once, then an epoch of what is trained.

    Args: as for `measure_numbers`.
    """
    lines = []
    for name in TAILS:
        for image_size, n in SIZES.items():
            frozen, tail = frozen_layers.split_frozen(_frozen_model(name, image_size))
            x = models.as_input(images[:n])
            frozen.predict(x[:16], 16, verbose=0)
            seconds, kept = _timed(lambda frozen=frozen, x=x: frozen.predict(x, 16, verbose=0))
            kept = np.asarray(kept, np.float16)
            epoch = _epoch_seconds(_compiled(tail), kept, labels, n)
            once, each = seconds / n, epoch / n
            whole = " + ".join(_minutes(part * n_fitted()) for part in (once, each))
            lines.append(
                f"| {TAILS[name]} | {image_size} px | {n} | {_shown(1000 * once)} | {_shown(1000 * each)} | "
                f"{kept[0].nbytes / 1024:,.0f} KiB | {whole} |"
            )
            bar.update()
    return lines


def n_fitted() -> int:
    """Return how many images of FER-2013 are learned from: `Training` less the validation part."""
    return round(FIT_SHARE * sum(PUBLISHED_COUNTS["Training"]))


def _frozen_model(name: str, image_size: int):
    backbone, _ = models.load_backbone(name, image_size, "random")
    if name == "ResNet50V2":
        backbone.trainable = False
        return models.resnet50_classifier(backbone, image_size)
    for layer in backbone.layers[:-3]:
        layer.trainable = False
    return models.vgg16_classifier(backbone, image_size)


def _compiled(model):
    import keras

    model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _epoch_seconds(model, x: np.ndarray, labels: np.ndarray, n: int) -> float:
    """Return the core-seconds of an epoch over n images, after two steps that do not count."""
    from fer_utils.acceleration.faster_fit import faster_fit

    rows = np.arange(n) % len(x)

    def epoch(of: np.ndarray) -> None:
        model.fit(batches(x[of], labels[of], BATCH_SIZE, seed=0), shuffle=False, verbose=0)

    # As `training.train` fits it.
    with faster_fit(model):
        # The uncounted steps have the sizes of the counted ones: a new size is compiled anew.
        epoch(rows[: min(n, BATCH_SIZE + n % BATCH_SIZE)])
        return _timed(lambda: epoch(rows))[0]


def _timed(work: Callable) -> tuple[float, object]:
    """Return core-seconds and the answer."""
    started = time.process_time()
    answer = work()
    return time.process_time() - started, answer


def _shown(core_seconds: float) -> str:
    return f"{core_seconds:.1f}" if core_seconds >= 1 else f"{core_seconds:.2f}"


def _minutes(core_seconds: float) -> str:
    """Say how long that takes on all cores of this machine."""
    seconds = core_seconds / (os.cpu_count() or 1)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def text_of(by_number: list[str], by_size: list[str], about: str) -> str:
    """Return the measured section of the page."""
    n = f"{n_fitted():,}"
    heads = (
        "| network | images | an epoch, core-seconds | for 1,000 images | calculated: time of an epoch of FER-2013 "
        f"({n} images) |",
        "| network | image size | measured on | frozen layers, once, core-seconds for 1,000 images | trained layers, "
        "an epoch, core-seconds for 1,000 images | kept on disk for an image | calculated: time for FER-2013 "
        f"({n} images), once + an epoch |",
    )
    tables = [
        "\n".join([head, "|" + "---|" * (head.count("|") - 1), *lines])
        for head, lines in zip(heads, (by_number, by_size), strict=True)
    ]
    return f"{about}\n\nBy number of images, at 48 pixels:\n\n{tables[0]}\n\nBy image size:\n\n{tables[1]}"


def put_between_marks(page: str, text: str, begin: str = BEGIN, end: str = END) -> str:
    """Return a page with `text` between two marks.

    Raises:
        ValueError: if the page lacks them.
    """
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("FER_CACHE", folder)
        load_keras()
        # Each network and size is compiled once, which TensorFlow takes for a mistake.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        precision = choose_precision()
        source, _, is_sample, _ = find_source()
        images, labels = load_dataset(source, progress=False).subset("Training")
        images, labels = np.array(images[: NUMBERS[1]]), labels[: NUMBERS[1]]
        total = 2 + len(TAILS) * (len(NUMBERS) + len(SIZES))
        with tqdm(total=total, unit="measurement") as bar:
            by_number = measure_numbers(images, labels, bar)
            by_size = measure_sizes(images, labels, bar)
    data = "the embedded sample" if is_sample else "FER-2013"
    about = (
        f"Measured {date.today()} with pictures of {data}: {os.cpu_count()} cores, {platform.machine()}, {precision}, "
        f"batches of {BATCH_SIZE}, one measurement each. Cost is in core-seconds: the processor time of all cores "
        "together. Divided by the number of cores, it is about the time that takes if nothing else runs; the last "
        "columns are calculated so."
    )
    text = text_of(by_number, by_size, about)
    PAGE.write_text(put_between_marks(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
