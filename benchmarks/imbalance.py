"""`python -m benchmarks.imbalance --data archive.zip`: remedies against unequal classes, on equal terms.

`--network compact` trains the small residual network on the pictures instead of one dense layer on fixed features; that
takes hours without a GPU.
"""

import numpy as np
import pandas as pd

from benchmarks import remedies, unequal_classes
from benchmarks.experiment import Stopwatch, as_table, measured_line, open_data, parser, record
from fer_utils.audit.near_copies import near_groups
from fer_utils.dataset import split_validation
from fer_utils.dataset.edges import edge_features
from fer_utils.experiments import remedy_table
from fer_utils.models.keras_start import load_keras
from fer_utils.training.precision import choose_precision

NETWORKS = {
    "head": "one dense layer of 256 on histograms of oriented gradients",
    "compact": "the compact residual network on the pictures, without augmentation",
}
HEAD = """# Unequal classes: which remedy helps?

Made by `benchmarks/imbalance.py`; do not edit. The network is {network}.
Each remedy was trained with {seeds} seeds for {epochs} epochs of equally many pictures, fixed beforehand, on the fitted
part of Training, and judged on PublicTest. A cell holds the mean over the seeds ± their standard deviation, and the
95 % interval from drawing pictures and seeds anew.

"""


def main() -> None:
    arguments = parser("imbalance", __doc__.splitlines()[0])
    arguments.add_argument("--network", choices=NETWORKS, default="head")
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--epochs", type=int, default=10)
    arguments.add_argument("--dtype", default="float32", help="Keras dtype policy, or 'auto'")
    arguments = arguments.parse_args()
    dataset, watch = open_data(arguments), Stopwatch()
    load_keras()
    choose_precision(arguments.dtype)
    (images, labels), (test, test_labels) = dataset.subset("Training"), dataset.subset("PublicTest")
    fit_rows, _ = split_validation(images, labels, groups=near_groups(images))
    predicted = unequal_classes.run(
        (_inputs(images[fit_rows], arguments.network), labels[fit_rows]),
        _inputs(test, arguments.network),
        seeds=range(arguments.seeds),
        epochs=arguments.epochs,
        build=_builder(arguments.network),
    )
    table = remedies.table(test_labels, predicted)
    settings = {
        "network": arguments.network,
        "seeds": arguments.seeds,
        "epochs": arguments.epochs,
        "dtype": arguments.dtype,
        "n_fit": len(fit_rows),
    }
    text = page(record(arguments, dataset, settings, watch.seconds, table))
    arguments.table.write_text(text, encoding="utf-8")
    print(text)


def page(content: dict) -> str:
    """Return the Markdown page of a record."""
    settings, table = content["settings"], pd.DataFrame(content["rows"])
    command = (
        f"python -m benchmarks.imbalance --data archive.zip --network {settings['network']} "
        f"--seeds {settings['seeds']} --epochs {settings['epochs']}"
    )
    parts = [
        HEAD.format(network=NETWORKS[settings["network"]], seeds=settings["seeds"], epochs=settings["epochs"]),
        as_table(remedy_table.readable(table)),
        "\nGain over doing nothing, on the same pictures and seeds, in percentage points:\n\n",
        as_table(remedy_table.gains(table)),
        "\n",
        measured_line(content, command),
    ]
    return "".join(parts)


def _inputs(images, network):
    return edge_features(images) if network == "head" else images[..., np.newaxis].astype(np.float32)


def _builder(network):
    if network == "head":
        return unequal_classes.small_head
    from fer_utils.models.compact_cnn import compact_cnn

    return lambda inputs: compact_cnn()


if __name__ == "__main__":
    main()
