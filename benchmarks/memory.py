"""Peak memory of the series: uint8 images, enlarged batch by batch, against whole sets as float32 arrays.

Every figure is the peak resident memory of a fresh process, as the operating system counts it, TensorFlow included. The
data is $FER_DATA or the embedded sample, and the processes share one cache of decoded images.

`python -m benchmarks.memory` prints the rows, and the peak of notebook 03's kernel over a whole run.
"""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.side_by_side import Comparison
from fer_utils.dataset import load_dataset

MIB = 2**20
BATCH_SIZE = 16
STEPS = 3
PAIRS = 2
SUBSET = 1000
"""Images that the plain way enlarges to 224 pixels; the whole of FER-2013 would not fit into a laptop."""


class Enough(Exception):
    """Ends an epoch after a few steps."""


def measure() -> list[Comparison]:
    """Measure notebook 03's input side at 48 pixels, and the 224-pixel pipelines of notebooks 05 and 06."""
    n = len(load_dataset(progress=False))
    whole = n * 224 * 224 * 3 * 4 / 2**30
    enlarged = (
        f"arrays of float32 at 224 px, {SUBSET:,} images only (calculated, not measured: one such array of all {n:,} "
        f"takes {whole:.1f} GiB)"
    )
    everything = f"arrays of float32 of all {n:,} images, one-hot labels, train_test_split"
    return [
        _row(f"custom CNN, {n:,} images at 48 px", everything),
        _row(f"VGG16, {n:,} images at 224 px", enlarged, "VGG16"),
        _row(f"ResNet50V2, {n:,} images at 224 px", enlarged, "ResNet50V2"),
    ]


def _row(what: str, plain_way: str, backbone: str = "") -> Comparison:
    pairs = [[run_alone(way, backbone) for way in ("ours", "plain")] for _ in range(PAIRS)]
    ours, plain = (list(values) for values in zip(*pairs, strict=True))
    steps = f"{STEPS} steps of {BATCH_SIZE}"
    return Comparison(f"peak memory, {what}, {steps}", plain_way, ours, plain, unit="MiB", digits=0)


def run_alone(way: str, backbone: str = "") -> float:
    """Return the peak resident memory in MiB of a process that does one of the two ways and nothing else."""
    code = f"from benchmarks import memory; memory.{way}({backbone!r}); print(memory.peak())"
    found = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return float(found.stdout.split()[-1])


def peak() -> float:
    """Return this process's peak resident memory in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux's ru_maxrss begins with what the parent process had; this does not.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (MIB if sys.platform == "darwin" else 1024)


def ours(backbone: str = "") -> None:
    """Open the data, split it and train a few steps as the notebooks do."""
    from fer_utils.dataset import split_validation
    from fer_utils.models.keras_start import load_keras
    from fer_utils.models.predict import as_input

    load_keras()
    dataset = load_dataset(progress=False)
    images, labels = dataset.subset("Training")
    dataset.subset("PublicTest")
    fit_rows, validation_rows = split_validation(images, labels)
    fit, _ = ((images[rows], labels[rows]) for rows in (fit_rows, validation_rows))
    _fit(_model(backbone, "sparse_categorical_crossentropy"), as_input(fit[0]), fit[1])


def plain(backbone: str = "") -> None:
    """Do the same with arrays of float32, as tutorials do: pictures scaled and enlarged beforehand, labels one-hot."""
    import cv2
    from sklearn.model_selection import train_test_split

    from fer_utils.models.keras_start import load_keras

    keras = load_keras()
    dataset = load_dataset(progress=False)
    if backbone:
        # Enlarged to the backbone's three channels; the model's own resizing has nothing left to do.
        small = dataset.images[:SUBSET]
        x = np.array([cv2.cvtColor(cv2.resize(image, (224, 224)), cv2.COLOR_GRAY2RGB) for image in small], "float32")
    else:
        x = np.array(dataset.images, "float32")[..., np.newaxis] / 255
    y = keras.utils.to_categorical(dataset.labels[: len(x)], 7)
    x_train, _, y_train, _ = train_test_split(x, y, test_size=0.2, random_state=0)
    _fit(_model(backbone, "categorical_crossentropy", enlarged=bool(backbone)), x_train, y_train)


def _model(backbone: str, loss: str, enlarged: bool = False):
    import keras

    from fer_utils import models

    if not backbone:
        model = models.custom_cnn()
    else:
        body, _ = models.load_backbone(backbone, 224, "random")
        body.trainable = False
        if enlarged:
            x = keras.layers.GlobalAveragePooling2D()(body.output)
            model = keras.Model(body.input, models.softmax_output(x))
        else:
            build = {"VGG16": models.vgg16_classifier, "ResNet50V2": models.resnet50_classifier}[backbone]
            model = build(body, 224)
    model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
    return model


def _fit(model, x, y) -> None:
    """Train a few steps of an epoch over all rows: what `fit` needs of memory for all of them shows."""
    import keras

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch + 1 == STEPS:
                # `stop_training` would wait for the epoch's last batch.
                raise Enough

    with contextlib.suppress(Enough):
        model.fit(x, y, batch_size=BATCH_SIZE, verbose=0, callbacks=[Stop()])


def notebook_peak(stem: str = "03") -> float:
    """Return the peak resident memory in MiB of the kernel of a notebook that runs with its own defaults."""
    import nbformat
    from nbclient import NotebookClient

    from fer_utils.runner.profiles import find_notebooks

    (path,) = find_notebooks([stem])
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        for cell in notebook.cells:
            if "parameters" in cell.metadata.get("tags", ()):
                cell.source += f"\nOUTPUT_DIR = {folder!r}"
        last = nbformat.v4.new_code_cell("from benchmarks.memory import peak\nprint(peak())")
        notebook.cells.append(last)
        NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(path.parent)}}).execute()
    return float(last.outputs[0].text)


def main() -> None:
    for row in measure():
        print(row.row())
    print(f"notebook 03, embedded sample, whole run: {notebook_peak():,.0f} MiB")


if __name__ == "__main__":
    main()
