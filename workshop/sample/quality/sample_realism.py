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
import sys
from pathlib import Path

import numpy as np

from fer_utils.common.files import write_atomically
from fer_utils.common.labels import EMOTIONS
from fer_utils.dataset import load_dataset
from workshop.sample.closeness import closeness_limit, loneliness, near_pairs, nearest, pixel_vectors, shape_vectors
from workshop.sample.quality.measures import (
    EPOCHS,
    feature_vectors,
    grey_vectors,
    load_judge,
    mean_distance,
    named_by_a_classifier,
    read_sample,
    same_class_counts,
    share_text,
    table,
    trained_on,
)


class Faces:
    """What is compared: the sample's faces, real ones, and the classifier that looks at both.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments):
        dataset = load_dataset(arguments.data)
        if dataset.is_sample:
            sys.exit("the sample cannot be compared with itself: give FER-2013 with --data")
        self.training, self.training_labels = dataset.subset("Training")
        self.public, self.public_labels = dataset.subset("PublicTest")
        truth = arguments.truth or arguments.sample.with_name("fer_sample_truth.csv")
        self.images, self.labels, self.usage, self.clean = read_sample(arguments.sample, truth)
        self.judge = load_judge(arguments.judge)
        self.judge_name = arguments.judge.name if arguments.judge else "The compact model of this project"
        self.features = feature_vectors(self.judge)


def first_section(faces):
    """Return the section of the report on measurement 1."""
    clean = faces.clean
    rows = named_by_a_classifier(
        faces.judge, faces.images[clean], faces.labels[clean], faces.public, faces.public_labels
    )
    return [
        "## 1. A classifier trained on FER-2013's Training part\n",
        f"{faces.judge_name}, "
        f"{faces.judge.count_params():,} parameters, in one pass (its scores elsewhere are the mean of a face and its "
        "mirror image); the share it names rightly, with the 95 % interval (Wilson). The strength of guidance and the "
        "share of faces kept were set with an earlier compact model, on the same data, so the total shows that they "
        "are set right; it is no independent test.\n",
        table(("faces", "n, sample", "clean sample", "n, PublicTest", "PublicTest"), rows),
    ]


def second_section(faces, seeds, epochs):
    """Return the section of the report on measurement 2, with networks of seeds 1 to `seeds`."""
    ours = faces.clean & (faces.usage == "Training")
    real = same_class_counts(faces.training_labels, faces.labels[ours], np.random.default_rng(1))
    public, n = (faces.public, faces.public_labels), len(faces.public)
    rows = []
    for name, images, labels in (
        ("sample", faces.images[ours], faces.labels[ours]),
        ("FER-2013", faces.training[real], faces.training_labels[real]),
    ):
        scores = trained_on(images, labels, *public, range(1, seeds + 1), epochs)
        each = ", ".join(f"{score:.1%}" for score in scores)
        rows.append((name, int(ours.sum()), each, share_text(scores.mean() * n, n)))
    always_happy = int((faces.public_labels == EMOTIONS.index("happy")).sum())
    return [
        "## 2. Trained on the sample, tested on real PublicTest\n",
        f"A small CNN, {epochs} epochs, both with the same numbers per class; n = {n:,}. "
        f'Always saying "happy" gives {always_happy / n:.1%}. The interval is that of the mean as a '
        "share of the test images; it does not contain the spread over training sets.\n",
        table(("trained on", "faces", "accuracy, one per seed", "mean (95 % interval)"), rows),
    ]


def third_section(faces):
    """Return the section of the report on measurement 3."""
    rows, lonely = [], []
    ways = (("pixels", pixel_vectors), ("shapes", shape_vectors), ("classifier features", faces.features))
    for name, describe in ways:
        distances, _ = nearest(faces.images, faces.training, describe)
        theirs, _ = nearest(faces.public, faces.training, describe)
        limit = closeness_limit(theirs)
        theirs = theirs[theirs > 0.02]
        values = (limit, distances.min(), np.percentile(distances, 1), np.median(distances), np.median(theirs))
        rows.append((name, *[f"{value:.3f}" for value in values], int((distances < limit).sum())))
    clean = faces.clean
    of_disgust = faces.labels[clean] == EMOTIONS.index("disgust")
    for name, describe in ways[:2]:
        median = np.median(loneliness(faces.public, faces.training, describe))
        ours = loneliness(faces.images[clean], faces.training, describe)
        for group, chosen in (("disgust", of_disgust), ("all", np.ones(len(ours), bool))):
            values = (np.min(ours[chosen]), np.percentile(ours[chosen], 1), np.median(ours[chosen]), median)
            lonely.append((name, group, int(chosen.sum()), *[f"{value:.3f}" for value in values]))
    shown = ("sample, minimum", "1st percentile", "median", "PublicTest, median")
    return [
        "## 3. Distance to the nearest Training image, or its mirror image\n",
        f"All {len(faces.images):,} readable faces in the archive, planted copies included, against PublicTest without "
        "the images that have an identical twin in Training. The limit is the 1st percentile of PublicTest's "
        "distances. Pixels: 24x24, zero mean, unit norm. Shapes: histograms of oriented gradients. The rules "
        "of the sample use pixels and shapes; the classifier's features, which hold the expression and not the "
        "person, are for information.\n",
        table(("measured on", "limit", *shown, "below the limit"), rows),
        "Learned by heart: the distance to the nearest Training image, as a share of the mean distance to the next "
        "seven, of the clean faces. A face that repeats a real one is far nearer to it than to any other.\n",
        table(("measured on", "class", "n", *shown), lonely),
    ]


def fourth_section(faces):
    """Return the section of the report on measurement 4."""
    rows, clean = [], faces.images[faces.clean]
    for code, emotion in enumerate(EMOTIONS):
        generator = np.random.default_rng(1)
        own = clean[faces.labels[faces.clean] == code]
        theirs = faces.training[faces.training_labels == code]
        ratios = [
            mean_distance(describe(own), generator) / mean_distance(describe(theirs), generator)
            for describe in (grey_vectors, shape_vectors, faces.features)
        ]
        rows.append((emotion, len(own), *[f"{ratio:.0%}" for ratio in ratios]))
    limit = closeness_limit(nearest(faces.public, faces.training, pixel_vectors)[0])
    pairs = len(near_pairs(clean, limit))
    return [
        "## 4. Diversity\n",
        "Mean distance of 20,000 random pairs of a class, as a share of the same among real Training images.\n",
        table(("class", "n", "grey values", "shapes", "classifier features"), rows),
        f"Clean faces closer than {limit:.3f} (pixels) to another: {pairs} of {len(clean):,}.\n",
    ]


def parsed():
    """Return the arguments of the command line."""
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
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="epochs of measurement 2")
    parser.add_argument("--dtype", default="float32", help="Keras dtype policy of measurement 2")
    parser.add_argument("--out", type=Path, default=Path("workshop/sample/quality/sample_realism.md"))
    return parser.parse_args()


def main():
    """Measure and write the report."""
    arguments = parsed()
    faces = Faces(arguments)
    parts = ["# Measured realism of the embedded sample\n", *first_section(faces)]

    import keras

    # The judge was there before the policy: the setting is for the networks that are trained here.
    keras.config.set_dtype_policy(arguments.dtype)
    parts += second_section(faces, arguments.seeds, arguments.epochs)
    parts += third_section(faces) + fourth_section(faces)
    command = (
        f"python -m workshop.sample.quality.sample_realism --data archive.zip --seeds {arguments.seeds} "
        f"--epochs {arguments.epochs} --dtype {arguments.dtype}"
    )
    report = "\n".join([*parts, f"Measured with `{command}`.\n"])
    write_atomically(arguments.out, lambda file: file.write(report.encode()))
    print(report)


if __name__ == "__main__":
    main()
