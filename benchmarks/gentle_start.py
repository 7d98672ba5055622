"""`python -m benchmarks.gentle_start --data archive.zip`: strong augmentation at once, or growing over some epochs?

The same small custom CNN is trained both ways, several times, each pair from the same starting weights, with the
pictures in the same order and the same random draws. The settings are those of notebook 4 in the profile `quick`, but
the step size stays what it is. How many epochs was fixed beforehand, and both judge PublicTest as they are at the end.
"""

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from benchmarks.experiment import Stopwatch, as_table, measured_line, open_data, parser, record
from fer_utils import augmentation, evaluation, models, training
from fer_utils.dataset import split_validation
from fer_utils.faster_fit import faster_fit
from fer_utils.quiet import load_keras

WAYS = ("at once", "growing")
WIDTH, BATCH_SIZE, LEARNING_RATE = 0.25, 64, 1e-3
HEAD = """# Augmentation at once, or growing?

Made by `benchmarks/gentle_start.py`; do not edit. The custom CNN with {width:.0%} of its filters was trained for
{epochs} epochs on {n_fit:,} pictures of Training with notebook 4's augmentation: at its full size from the first step
on, or growing to it over the first {gentle_epochs} epochs. Both from the same starting weights, with the pictures in
the same order and the same random draws. How many epochs was fixed beforehand. Judged on PublicTest, n = {n_test:,};
the validation part has {n_validation:,} pictures.

"""


def main() -> None:
    arguments = parser("gentle_start", __doc__.splitlines()[0])
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--epochs", type=int, default=15)
    arguments.add_argument("--gentle-epochs", type=int, default=5, help="over which it grows")
    arguments = arguments.parse_args()
    dataset, watch = open_data(arguments), Stopwatch()
    images, labels = dataset.subset("Training")
    parts = {
        name: (training.as_input(images[rows]), labels[rows])
        for name, rows in zip(("fit", "validation"), split_validation(images, labels), strict=True)
    }
    parts["test"] = dataset.subset("PublicTest")
    training.choose_precision()
    runs = [(seed, way) for seed in range(arguments.seeds) for way in WAYS]
    table = pd.concat(_trained(parts, seed, way, arguments) for seed, way in tqdm(runs, unit="training"))
    settings = {
        "seeds": arguments.seeds, "epochs": arguments.epochs, "gentle_epochs": arguments.gentle_epochs,
        "width": WIDTH, "batch_size": BATCH_SIZE, "learning_rate": LEARNING_RATE,
        **{f"n_{name}": len(part[1]) for name, part in parts.items()},
    }  # fmt: skip
    text = page(record(arguments, dataset, settings, watch.seconds, table))
    arguments.table.write_text(text, encoding="utf-8")
    print(text)


def _trained(parts: dict, seed: int, way: str, arguments) -> pd.DataFrame:
    """Return a row for each epoch: seed, way, epoch, accuracies; that on the test part in the last one alone."""
    keras = load_keras()
    keras.utils.set_random_seed(seed)
    (x, y), (test, test_labels) = parts["fit"], parts["test"]
    warm_up = arguments.gentle_epochs * -(-len(y) // BATCH_SIZE) if way == "growing" else 0
    model = augmentation.with_augmentation(models.custom_cnn(width=WIDTH), seed=seed, warm_up=warm_up)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    keras.utils.set_random_seed(seed)
    with faster_fit(model):
        found = model.fit(
            x, y, batch_size=BATCH_SIZE, epochs=arguments.epochs, validation_data=parts["validation"], verbose=0
        ).history
    rows = pd.DataFrame(
        {
            "seed": seed, "way": way, "epoch": np.arange(1, arguments.epochs + 1), "training": found["accuracy"],
            "validation": found["val_accuracy"],
        }
    )  # fmt: skip
    right = evaluation.predict(model, test).argmax(axis=1) == test_labels
    # None, which JSON knows, where nothing was measured.
    rows["PublicTest"] = [None] * (len(rows) - 1) + [float(right.mean())]
    return rows


def page(content: dict) -> str:
    """Return the Markdown page of a record."""
    settings, rows = content["settings"], pd.DataFrame(content["rows"])
    last = rows[rows["epoch"] == settings["epochs"]].pivot(index="seed", columns="way", values="PublicTest")
    shown = pd.DataFrame({f"PublicTest, {way}": last[way].map("{:.1%}".format) for way in WAYS})
    difference = 100 * (last["growing"] - last["at once"])
    low, high = stats.t.interval(0.95, len(difference) - 1, difference.mean(), stats.sem(difference))
    summary = (
        f"Growing less at once: {difference.mean():+.1f} percentage points (95 % interval over the seeds {low:+.1f} to "
        f"{high:+.1f}, n = {len(difference)} pairs).\n\n"
    )
    means = rows.pivot_table(index="epoch", columns="way", values="validation")[list(WAYS)]
    curves = means.map("{:.1%}".format).add_prefix("validation, mean of the seeds, ")
    command = (
        f"python -m benchmarks.gentle_start --data archive.zip --seeds {settings['seeds']} "
        f"--epochs {settings['epochs']} --gentle-epochs {settings['gentle_epochs']}"
    )
    text = HEAD.format(**settings) + as_table(shown) + "\n" + summary
    return text + as_table(curves) + "\n" + measured_line(content, command)


if __name__ == "__main__":
    main()
