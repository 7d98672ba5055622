"""What experiments share that train the narrow custom CNN in two ways, several times each, and judge PublicTest.

Both ways start from the same weights, see the pictures in the same order and draw the same random numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from benchmarks.experiment import Stopwatch, as_table, measured_line, open_data, parser, record
from fer_utils import models
from fer_utils.acceleration.faster_fit import faster_fit
from fer_utils.dataset import split_validation
from fer_utils.models.keras_start import load_keras
from fer_utils.training.precision import choose_precision
from workshop.custom_cnn import optimizer_of

WIDTH, BATCH_SIZE, LEARNING_RATE = 0.25, 64, 1e-3
# What the network had when these experiments were recorded.
REGULARISATION = {"l2": 0.01, "dropout": 0.25, "head_dropout": 0.5}


@dataclass(frozen=True)
class TwoWays:
    """An experiment.

    Attributes:
        name: of its module, its record and its page.
        description: one line for the command's help.
        ways: what the two are called; the second is the one to be proved.
        head: what stands above the tables, with settings in braces.
        difference: what the last sentence calls the difference, such as "Growing less at once".
        warm_up: (way, arguments) → epochs in which the augmentation grows.
        optimizer: way → its name for `workshop.custom_cnn.optimizer_of`.
        options: name of a further whole number on the command line → (default, help).
    """

    name: str
    description: str
    ways: tuple[str, str]
    head: str
    difference: str
    warm_up: Callable
    optimizer: Callable = lambda way: "adam"
    options: dict = field(default_factory=dict)

    def main(self) -> None:
        """Measure, as the command line says, and write the record and the page."""
        arguments = parser(self.name, self.description)
        for name, (default, told) in {
            "seeds": (3, "trainings of each way"),
            "epochs": (15, None),
            **self.options,
        }.items():
            arguments.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=told)
        arguments = arguments.parse_args()
        dataset, watch = open_data(arguments), Stopwatch()
        images, labels = dataset.subset("Training")
        parts = {
            name: (models.as_input(images[rows]), labels[rows])
            for name, rows in zip(("fit", "validation"), split_validation(images, labels), strict=True)
        }
        parts["test"] = dataset.subset("PublicTest")
        choose_precision()
        runs = [(seed, way) for seed in range(arguments.seeds) for way in self.ways]
        table = pd.concat(self._trained(parts, seed, way, arguments) for seed, way in tqdm(runs, unit="training"))
        settings = {
            "seeds": arguments.seeds,
            "epochs": arguments.epochs,
            **{name: getattr(arguments, name) for name in self.options},
            "width": WIDTH,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            **{f"n_{name}": len(part[1]) for name, part in parts.items()},
        }
        text = self.page(record(arguments, dataset, settings, watch.seconds, table))
        arguments.table.write_text(text, encoding="utf-8")
        print(text)

    def _trained(self, parts: dict, seed: int, way: str, arguments) -> pd.DataFrame:
        """Return a row for each epoch: seed, way, epoch, accuracies; that on the test part in the last one alone."""
        keras = load_keras()
        keras.utils.set_random_seed(seed)
        (x, y), (test, test_labels) = parts["fit"], parts["test"]
        warm_up = self.warm_up(way, arguments) * -(-len(y) // BATCH_SIZE)
        network = models.custom_cnn(width=WIDTH, **REGULARISATION)
        model = models.with_augmentation(network, seed=seed, warm_up=warm_up)
        model.compile(
            optimizer_of(self.optimizer(way), LEARNING_RATE),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        keras.utils.set_random_seed(seed)
        with faster_fit(model):
            found = model.fit(
                x, y, batch_size=BATCH_SIZE, epochs=arguments.epochs, validation_data=parts["validation"], verbose=0
            ).history
        rows = pd.DataFrame(
            {
                "seed": seed,
                "way": way,
                "epoch": np.arange(1, arguments.epochs + 1),
                "training": found["accuracy"],
                "validation": found["val_accuracy"],
            }
        )
        right = models.predict(model, test).argmax(axis=1) == test_labels
        # None, which JSON knows, where nothing was measured.
        rows["PublicTest"] = [None] * (len(rows) - 1) + [float(right.mean())]
        return rows

    def page(self, content: dict) -> str:
        """Return the Markdown page of a record."""
        settings, rows = content["settings"], pd.DataFrame(content["rows"])
        last = rows[rows["epoch"] == settings["epochs"]].pivot(index="seed", columns="way", values="PublicTest")
        shown = pd.DataFrame({f"PublicTest, {way}": last[way].map("{:.1%}".format) for way in self.ways})
        before, after = self.ways
        difference = 100 * (last[after] - last[before])
        low, high = stats.t.interval(0.95, len(difference) - 1, difference.mean(), stats.sem(difference))
        summary = (
            f"{self.difference}: {difference.mean():+.1f} percentage points (95 % interval over the seeds {low:+.1f} "
            f"to {high:+.1f}, n = {len(difference)} pairs).\n\n"
        )
        means = rows.pivot_table(index="epoch", columns="way", values="validation")[list(self.ways)]
        curves = means.map("{:.1%}".format).add_prefix("validation, mean of the seeds, ")
        given = " ".join(f"--{name.replace('_', '-')} {settings[name]}" for name in ("seeds", "epochs", *self.options))
        text = self.head.format(**settings) + as_table(shown) + "\n" + summary
        command = f"python -m benchmarks.{self.name} --data archive.zip {given}"
        return text + as_table(curves) + "\n" + measured_line(content, command)
