"""`python -m benchmarks.imbalance --data archive.zip`: remedies against unequal classes, on equal terms.

`--network compact` trains the small residual network on the pictures instead of one dense layer on fixed features; that
takes hours without a GPU.
"""

import numpy as np

from benchmarks.experiment import Stopwatch, as_table, measured_line, open_data, parser, record
from fer_utils import imbalance
from fer_utils.dataset import split_validation
from fer_utils.label_noise import edge_features
from fer_utils.near_duplicates import near_groups
from fer_utils.quiet import load_keras
from fer_utils.training import choose_precision

NETWORKS = {
    "head": "one dense layer of 256 on histograms of oriented gradients",
    "compact": "the compact residual network on the pictures, without augmentation",
}
HEAD = """# Unequal classes: which remedy helps?

Made by `benchmarks/imbalance.py`; do not edit. {network}; {seeds} seeds; {epochs} epochs of equally many pictures for
all, fixed beforehand; learned from the fitted part of Training, judged on PublicTest. A cell holds the mean over the
seeds ± their standard deviation, and the 95 % interval from drawing pictures and seeds anew.

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
    predicted = imbalance.run(
        (_inputs(images[fit_rows], arguments.network), labels[fit_rows]), _inputs(test, arguments.network),
        seeds=range(arguments.seeds), epochs=arguments.epochs, build=_builder(arguments.network),
    )  # fmt: skip
    table = imbalance.table(test_labels, predicted)
    settings = {
        "network": arguments.network, "seeds": arguments.seeds, "epochs": arguments.epochs, "dtype": arguments.dtype,
        "n_fit": len(fit_rows),
    }  # fmt: skip
    content = record(arguments, dataset, settings, watch.seconds, table)
    network = NETWORKS[arguments.network]
    text = HEAD.format(network=network[0].upper() + network[1:], seeds=arguments.seeds, epochs=arguments.epochs)
    text += as_table(imbalance.readable(table).rename_axis("remedy"))
    text += "\nGain over doing nothing, on the same pictures and seeds:\n\n" + as_table(imbalance.gains(table))
    command = (
        f"python -m benchmarks.imbalance --data archive.zip --network {arguments.network} --seeds {arguments.seeds} "
        f"--epochs {arguments.epochs}"
    )
    arguments.table.write_text(text + "\n" + measured_line(content, command), encoding="utf-8")
    print(text)


def _inputs(images, network):
    return edge_features(images) if network == "head" else images[..., np.newaxis].astype(np.float32)


def _builder(network):
    if network == "head":
        return imbalance.small_head
    from fer_utils.models import compact_cnn

    return lambda inputs: compact_cnn()


if __name__ == "__main__":
    main()
