"""How real are the faces of the embedded sample? Four measurements, written as a Markdown table.

    python -m workshop.sample.quality.sample_realism --data archive.zip

1. A classifier trained on FER-2013's `Training` part names the clean faces, and PublicTest for comparison.
2. The same small network is trained on the sample's clean training faces and on equally many real ones.
3. Every readable face in the archive is compared with its nearest `Training` image, mirrored or not.
4. The faces of a class are compared with one another.

PublicTest decides two things about the sample, never about a model of the series: the limit of measurement 3, which is
by definition the first percentile of PublicTest's own distances, and how hard the faces of measurement 1 should be.
"""

import argparse
import csv
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np

from fer_utils.common.intervals import wilson_interval
from fer_utils.common.labels import EMOTIONS
from fer_utils.dataset import load_dataset
from workshop.sample.screen import closeness_limit, loneliness, near_pairs, nearest, pixel_vectors, shape_vectors

SMALL = {"widths": (32, 48, 64, 128), "epochs": 20}


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
        model = train_classifier(images, labels, seed, SMALL["widths"], epochs, report=lambda text: None)
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


def main():
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER-2013")
    parser.add_argument("--sample", type=Path, default=Path("data/fer_sample.zip"))
    parser.add_argument("--truth", type=Path, help="by default fer_sample_truth.csv beside the sample")
    parser.add_argument(
        "--judge",
        type=Path,
        help="another classifier for measurements 1, 3 and 4, a .keras file; by default the package's compact model",
    )
    parser.add_argument("--seeds", type=int, default=3, help="networks trained in measurement 2 on either data")
    parser.add_argument("--epochs", type=int, default=SMALL["epochs"], help="epochs of measurement 2")
    parser.add_argument("--dtype", default="float32", help="Keras dtype policy")
    parser.add_argument("--out", type=Path, default=Path("workshop/sample/quality/sample_realism.md"))
    arguments = parser.parse_args()
    truth = arguments.truth or arguments.sample.with_name("fer_sample_truth.csv")

    dataset = load_dataset(arguments.data)
    if dataset.is_sample:
        sys.exit("the sample cannot be compared with itself: give FER-2013 with --data")
    (training, training_labels), (public, public_labels) = dataset.subset("Training"), dataset.subset("PublicTest")
    images, labels, usage, clean = read_sample(arguments.sample, truth)

    import keras

    # The judge before the policy: the setting is for the networks that are trained here.
    judge = load_judge(arguments.judge)
    keras.config.set_dtype_policy(arguments.dtype)
    parts = ["# Measured realism of the embedded sample\n"]

    print("1. named by a classifier trained on real faces", flush=True)
    rows = list(named_by_a_classifier(judge, images[clean], labels[clean], public, public_labels))
    parts += [
        "## 1. A classifier trained on FER-2013's Training part\n",
        f"{arguments.judge.name if arguments.judge else 'The compact model of this project'}, "
        f"{judge.count_params():,} parameters, in one pass (its scores elsewhere are the mean of a face and its mirror "
        "image); the share it names rightly, with the 95 % interval (Wilson). The strength of guidance and the share "
        "of faces kept were set with an earlier compact model, on the same data, so the total shows that they are set "
        "right; it is no independent test.\n",
        table(("faces", "n, sample", "clean sample", "n, PublicTest", "PublicTest"), rows),
    ]

    print("2. trained on the sample, tested on PublicTest", flush=True)
    ours = clean & (usage == "Training")
    real = same_class_counts(training_labels, labels[ours], np.random.default_rng(1))
    seeds = range(1, arguments.seeds + 1)
    results = {
        "sample": trained_on(images[ours], labels[ours], public, public_labels, seeds, arguments.epochs),
        "FER-2013": trained_on(training[real], training_labels[real], public, public_labels, seeds, arguments.epochs),
    }
    rows = [
        (
            name,
            int(ours.sum()),
            ", ".join(f"{score:.1%}" for score in scores),
            share_text(scores.mean() * len(public), len(public)),
        )
        for name, scores in results.items()
    ]
    always_happy = int((public_labels == EMOTIONS.index("happy")).sum())
    parts += [
        "## 2. Trained on the sample, tested on real PublicTest\n",
        f"A small CNN, {arguments.epochs} epochs, both with the same numbers per class; n = {len(public):,}. "
        f'Always saying "happy" gives {always_happy / len(public):.1%}. The interval is that of the mean as a '
        "share of the test images; it does not contain the spread over training sets.\n",
        table(("trained on", "faces", "accuracy, one per seed", "mean (95 % interval)"), rows),
    ]

    print("3. nearest real neighbours", flush=True)
    features = feature_vectors(judge)
    rows = []
    for name, describe in (("pixels", pixel_vectors), ("shapes", shape_vectors), ("classifier features", features)):
        distances, _ = nearest(images, training, describe)
        theirs, _ = nearest(public, training, describe)
        limit = closeness_limit(theirs)
        theirs = theirs[theirs > 0.02]
        rows.append(
            (
                name,
                f"{limit:.3f}",
                f"{distances.min():.3f}",
                f"{np.percentile(distances, 1):.3f}",
                f"{np.median(distances):.3f}",
                f"{np.median(theirs):.3f}",
                int((distances < limit).sum()),
            )
        )
    lonely = []
    for name, describe in (("pixels", pixel_vectors), ("shapes", shape_vectors)):
        median = np.median(loneliness(public, training, describe))
        ours = loneliness(images[clean], training, describe)
        of_disgust = labels[clean] == EMOTIONS.index("disgust")
        for group, chosen in (("disgust", of_disgust), ("all", np.ones(len(ours), bool))):
            values = (np.min(ours[chosen]), np.percentile(ours[chosen], 1), np.median(ours[chosen]), median)
            lonely.append((name, group, int(chosen.sum()), *[f"{value:.3f}" for value in values]))
    parts += [
        "## 3. Distance to the nearest Training image, or its mirror image\n",
        f"All {len(images):,} readable faces in the archive, planted copies included, against PublicTest without "
        "the images that have an identical twin in Training. The limit is the 1st percentile of PublicTest's "
        "distances. Pixels: 24x24, zero mean, unit norm. Shapes: histograms of oriented gradients. The rules "
        "of the sample use pixels and shapes; the classifier's features, which hold the expression and not the "
        "person, are for information.\n",
        table(
            (
                "measured on",
                "limit",
                "sample, minimum",
                "1st percentile",
                "median",
                "PublicTest, median",
                "below the limit",
            ),
            rows,
        ),
        "Learned by heart: the distance to the nearest Training image, as a share of the mean distance to the next "
        "seven, of the clean faces. A face that repeats a real one is far nearer to it than to any other.\n",
        table(
            ("measured on", "class", "n", "sample, minimum", "1st percentile", "median", "PublicTest, median"), lonely
        ),
    ]

    print("4. diversity", flush=True)
    rows = []
    for code, emotion in enumerate(EMOTIONS):
        generator = np.random.default_rng(1)
        own, theirs = images[clean & (labels == code)], training[training_labels == code]
        ratios = [
            mean_distance(describe(own), generator) / mean_distance(describe(theirs), generator)
            for describe in (grey_vectors, shape_vectors, features)
        ]
        rows.append((emotion, len(own), *[f"{ratio:.0%}" for ratio in ratios]))
    limit = closeness_limit(nearest(public, training, pixel_vectors)[0])
    pairs = len(near_pairs(images[clean], limit))
    parts += [
        "## 4. Diversity\n",
        "Mean distance of 20,000 random pairs of a class, as a share of the same among real Training images.\n",
        table(("class", "n", "grey values", "shapes", "classifier features"), rows),
        f"Clean faces closer than {limit:.3f} (pixels) to another: {pairs} of {int(clean.sum()):,}.\n",
    ]

    command = (
        f"python -m workshop.sample.quality.sample_realism --data archive.zip --seeds {arguments.seeds} "
        f"--epochs {arguments.epochs} --dtype {arguments.dtype}"
    )
    parts.append(f"Measured with `{command}`.\n")
    report = "\n".join(parts)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(report)
    print(report)


if __name__ == "__main__":
    main()
