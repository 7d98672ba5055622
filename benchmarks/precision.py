"""`python -m benchmarks.precision --data archive.zip`: do 16-bit numbers cost accuracy?

The same small custom CNN is trained in float32 and in mixed_bfloat16, several times, each pair from the same starting
weights and with the pictures in the same order. Both then judge PublicTest.
"""

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from benchmarks.experiment import Stopwatch, as_table, measured_line, open_data, parser, record
from fer_utils import evaluation, models
from fer_utils.dataset import split_validation, subsample
from fer_utils.models.keras_start import load_keras
from fer_utils.training.precision import choose_precision

FORMATS = ("float32", "mixed_bfloat16")
HEAD = """# Do 16-bit numbers cost accuracy?

Made by `benchmarks/precision.py`; do not edit. The custom CNN with {width:.0%} of its filters was trained for {epochs}
epochs on {n_fit:,} pictures of the fitted part of Training, in both number formats from the same starting weights, with
the pictures in the same order. How many epochs was fixed beforehand. Judged on PublicTest, n = {n_test:,}.

"""


def main() -> None:
    arguments = parser("precision", __doc__.splitlines()[0])
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--epochs", type=int, default=8)
    arguments.add_argument("--images", type=int, default=3000, help="training pictures, 0 for all")
    arguments.add_argument("--width", type=float, default=0.25, help="share of the filters")
    arguments = arguments.parse_args()
    dataset, watch = open_data(arguments), Stopwatch()
    (images, labels), (test, test_labels) = dataset.subset("Training"), dataset.subset("PublicTest")
    rows, _ = split_validation(images, labels)
    rows = rows[subsample(labels[rows], arguments.images, seed=0)]
    table = pd.DataFrame(
        {"seed": seed, **_pair(images[rows], labels[rows], test, test_labels, seed, arguments)}
        for seed in tqdm(range(arguments.seeds), unit="pair")
    )
    settings = {
        "seeds": arguments.seeds,
        "epochs": arguments.epochs,
        "width": arguments.width,
        "n_fit": len(rows),
        "n_test": len(test),
    }
    text = page(record(arguments, dataset, settings, watch.seconds, table))
    arguments.table.write_text(text, encoding="utf-8")
    print(text)


def _pair(images, labels, test, test_labels, seed: int, arguments) -> dict:
    """Return for each format the accuracy on the test part, and the seconds of the training."""
    keras, found = load_keras(), {}
    for name in FORMATS:
        choose_precision(name)
        keras.utils.set_random_seed(seed)
        # Regularised as it was when this was recorded.
        model = models.custom_cnn(width=arguments.width, l2=0.01, dropout=0.25, head_dropout=0.5)
        model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
        watch = Stopwatch()
        model.fit(images[..., np.newaxis], labels, batch_size=64, epochs=arguments.epochs, verbose=0)
        found[f"seconds, {name}"] = round(watch.seconds, 1)
        found[name] = evaluation.score(test_labels, models.predict(model, test), "PublicTest")["accuracy"]
    return found


def page(content: dict) -> str:
    """Return the Markdown page of a record."""
    settings, table = content["settings"], pd.DataFrame(content["rows"]).set_index("seed")
    shown = pd.DataFrame({f"accuracy, {name}": table[name].map("{:.1%}".format) for name in FORMATS})
    for name in FORMATS:
        shown[f"seconds, {name}"] = table[f"seconds, {name}"]
    difference = 100 * (table["mixed_bfloat16"] - table["float32"])
    low, high = stats.t.interval(0.95, len(difference) - 1, difference.mean(), stats.sem(difference))
    summary = (
        f"mixed_bfloat16 less float32: {difference.mean():+.1f} percentage points (95 % interval over the seeds "
        f"{low:+.1f} to {high:+.1f}, n = {len(difference)} pairs).\n"
    )
    command = (
        f"python -m benchmarks.precision --data archive.zip --seeds {settings['seeds']} --epochs {settings['epochs']} "
        f"--images {settings['n_fit']} --width {settings['width']:g}"
    )
    return HEAD.format(**settings) + as_table(shown) + "\n" + summary + "\n" + measured_line(content, command)


if __name__ == "__main__":
    main()
