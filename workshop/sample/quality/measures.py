"""What `sample_realism` measures with: the stored sample, a classifier's opinion, distances, Markdown tables."""

import csv
import zipfile

import cv2
import numpy as np

from fer_utils.common.intervals import wilson_interval
from fer_utils.common.labels import EMOTIONS

# Of the small network of measurement 2.
WIDTHS, EPOCHS = (32, 48, 64, 128), 20


def read_sample(archive, truth):
    """Read the archive's readable, not blank JPEG faces.

    Returns `images uint8 (n, 48, 48)`, `labels int64 (n,)`, the true ones, `usage str (n,)` and `clean bool (n,)`.
    """
    images, labels, usage, clean = [], [], [], []
    with zipfile.ZipFile(archive) as package, open(truth, newline="") as file:
        for row in csv.DictReader(file):
            if not row["name"].endswith(".jpg") or not row["true_label"]:
                continue
            content = np.frombuffer(package.read(row["name"]), "uint8")
            images.append(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE))
            labels.append(EMOTIONS.index(row["true_label"]))
            usage.append(row["name"].split("/")[-1].split("_")[0])
            clean.append(row["clean"] == "True")
    return np.stack(images), np.array(labels), np.array(usage), np.array(clean)


def share_text(right, total):
    """Return "57.1 % (55.3 to 58.9)", the share and its 95 % interval."""
    low, high = wilson_interval(int(right), int(total))
    return f"{right / total:.1%} ({low:.1%} to {high:.1%})"


def predicted(model, images):
    """Return the most probable class of each image, `int64 (n,)`."""
    return model.predict(images[..., None], batch_size=256, verbose=0).argmax(axis=1)


def named_by_a_classifier(judge, sample, labels, public, public_labels):
    """Measurement 1: rows of (what, n, sample, PublicTest)."""
    ours, theirs = predicted(judge, sample) == labels, predicted(judge, public) == public_labels
    yield ("all", len(labels), share_text(ours.sum(), len(ours)), len(theirs), share_text(theirs.sum(), len(theirs)))
    for code, emotion in enumerate(EMOTIONS):
        own, real = ours[labels == code], theirs[public_labels == code]
        yield emotion, len(own), share_text(own.sum(), len(own)), len(real), share_text(real.sum(), len(real))


def trained_on(images, labels, public, public_labels, seeds, epochs):
    """Measurement 2: the PublicTest accuracies of the small network, one per seed."""
    from workshop.sample.quality.judge import train_classifier

    scores = []
    for seed in seeds:
        model = train_classifier(images, labels, seed, WIDTHS, epochs, report=lambda text: None)
        scores.append(float((predicted(model, public) == public_labels).mean()))
        print(f"  seed {seed}: {scores[-1]:.1%} of {len(public_labels):,}", flush=True)
    return np.array(scores)


def same_class_counts(labels, wanted, generator):
    """Return positions of real images, as many of each class as `wanted` has."""
    return np.concatenate(
        [
            generator.choice(np.flatnonzero(labels == code), count, replace=False)
            for code, count in enumerate(np.bincount(wanted, minlength=len(EMOTIONS)))
        ]
    )


def mean_distance(vectors, generator, pairs=20_000):
    """Return the mean distance of random pairs of different rows."""
    first = generator.integers(len(vectors), size=pairs)
    second = (first + generator.integers(1, len(vectors), size=pairs)) % len(vectors)
    return float(np.linalg.norm(vectors[first] - vectors[second], axis=1).mean())


def grey_vectors(images):
    """Return the grey values in 0..1 at 24x24, `float32 (n, 576)`, brightness and contrast left in."""
    return np.stack([cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA).ravel() for image in images]) / 255.0


def feature_vectors(judge):
    """Return a function from images to the classifier's last features, of unit norm."""
    import keras

    network = keras.Model(judge.input, judge.layers[-1].input)

    def describe(images):
        vectors = network.predict(np.asarray(images)[..., None], batch_size=256, verbose=0).astype("float32")
        vectors = vectors.reshape(len(vectors), -1)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)

    return describe


def load_judge(path):
    """Return the classifier of measurements 1, 3 and 4: the compact model of the package, or the `.keras` at `path`."""
    import keras

    from fer_utils.models.compact_cnn import load_shipped

    return keras.saving.load_model(path, compile=False) if path else load_shipped()


def table(header, rows):
    """Return a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"
