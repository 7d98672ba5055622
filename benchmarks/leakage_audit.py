"""`python -m benchmarks.leakage_audit --data archive.zip`: copies in FER-2013, and what they are worth to a model."""

import time

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.experiment import Stopwatch, as_table, measured_line, open_data, parser, record
from fer_utils import audit
from fer_utils.audit.deduplicate import CONTRADICTING, kept_rows
from fer_utils.audit.near_copies import near_groups, near_pairs
from fer_utils.common.intervals import bootstrap_interval, wilson_interval
from fer_utils.common.labels import EMOTIONS
from fer_utils.dataset import duplicate_groups
from fer_utils.detector.shipped import ShippedModel
from fer_utils.experiments import workbench

SEEDS = range(5)
HEAD = """# Copies in FER-2013

Made by `benchmarks/leakage_audit.py`; do not edit. "Exact" copies have identical pixels; "near" ones are found by a
perceptual hash and checked by correlation (`fer_utils.audit.near_copies`), blank pictures left out. Near copies are a
lower bound: a photograph that was cut out very differently is missed. {pairs:,} pairs of near copies were found in
{seconds:.0f} seconds of processor time. In brackets: 95 % interval (Wilson; of
differences, bootstrap over the pictures).
"""

TITLES = {
    "twins": "Test pictures with a twin in Training",
    "worth": "Test pictures with and without a twin: the shipped model, which was trained on Training as it is",
    "memory": "What learning the copies is worth: a small head, trained with and without those of test pictures",
    "contradictions": "Contradicting labels",
    "label pairs": "Which labels meet on one photograph",
    "policies": "What the policies leave",
    "flagged": "Labels that confident learning flags (edges and a linear model)",
}


def kinds_of_test_pictures(copies: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return for each kind of test picture which of them, in their order, are of that kind: bool (n,)."""
    in_training = (copies["usage"] == "Training").to_numpy()
    exact, near = (audit.has_twin(copies[kind], ~in_training, in_training) for kind in audit.KINDS)
    return {
        "identical picture in Training": exact,
        "near copy in Training": near & ~exact,
        "neither": ~near,
        "all": np.ones(len(exact), bool),
    }


def accuracy_by_twin(dataset, copies: pd.DataFrame) -> pd.DataFrame:
    """Score the shipped model on the test pictures with and without a twin in Training.

    Returns:
        One row a kind of test picture: n, accuracy with its 95 % interval, and the accuracy it would be with the
        classes in the proportions of all test pictures (both as text).
    """
    rows = copies.index[copies["usage"] != "Training"].to_numpy()
    labels = dataset.labels[rows]
    right = ShippedModel().predict(dataset.images[rows]).argmax(axis=1) == labels
    kinds = kinds_of_test_pictures(copies)
    share = np.bincount(labels, minlength=len(EMOTIONS)) / len(labels)
    table = {}
    for name, chosen in kinds.items():
        low, high = wilson_interval(int(right[chosen].sum()), int(chosen.sum()))
        by_class = [right[chosen & (labels == i)].mean() for i in range(len(EMOTIONS))]
        table[name] = {
            "n": int(chosen.sum()),
            "accuracy": f"{right[chosen].mean():.1%} ({low:.1%} to {high:.1%})",
            "with the classes in the proportions of all": f"{share @ by_class:.1%}",
        }
    return pd.DataFrame.from_dict(table, "index").rename_axis("test pictures with")


def accuracy_with_and_without(dataset, copies: pd.DataFrame, features: np.ndarray) -> pd.DataFrame:
    """Train the head of `broken_protocols` with and without the training pictures that have a twin in a test part.

    Are pictures with a twin answered rightly more often because the twin was learned, or because they are easier? Both
    trainings have equally many pictures: the first leaves out others instead, by chance.

    Args:
        dataset: FER-2013.
        copies: of `leakage.find_copies`.
        features: float32 (n, …), a row for each of `copies`.

    Returns:
        One row a kind of test picture: n, both accuracies (means over the seeds) and their difference in percentage
        points with its 95 % interval over the pictures, as text.
    """
    in_training = (copies["usage"] == "Training").to_numpy()
    known = np.zeros(len(copies), bool)
    known[in_training] = audit.has_twin(copies["near"], in_training, ~in_training)
    labels = dataset.labels[copies.index.to_numpy()]
    without = np.flatnonzero(in_training & ~known)
    right = {"with": [], "without": []}
    for seed in tqdm(SEEDS, "trainings with and without copies", unit="pair"):
        others = np.random.default_rng(seed).permutation(without)[known.sum() :]
        for name, fit in {"with": np.concatenate([np.flatnonzero(known), others]), "without": without}.items():
            head = workbench.fitted(features[fit], labels[fit], seed)
            right[name].append(head.predict(features[~in_training]) == labels[~in_training])
    means = {name: np.mean(each, axis=0) for name, each in right.items()}
    table = {}
    for name, chosen in kinds_of_test_pictures(copies).items():
        learned, unseen = (means[each][chosen] for each in ("with", "without"))
        gain = 100 * (learned - unseen)
        low, high = bootstrap_interval(learned, unseen, lambda x, y: 100 * np.mean(x - y))
        table[name] = {
            "n": int(chosen.sum()),
            "learned with the copies": f"{learned.mean():.1%}",
            "learned without": f"{unseen.mean():.1%}",
            "difference in points": f"{gain.mean():+.1f} ({low:+.1f} to {high:+.1f})",
        }
    return pd.DataFrame.from_dict(table, "index").rename_axis("test pictures with")


def what_is_left(dataset, pairs: pd.DataFrame) -> pd.DataFrame:
    """Count the pictures of each part under every policy and rule."""
    groups = {"exact": duplicate_groups(dataset.images), "near": near_groups(dataset.images, pairs)}
    usage = pd.Series(dataset.usage)
    counts = {"none": usage.value_counts()}
    for policy, numbers in groups.items():
        for rule in CONTRADICTING:
            rows = kept_rows(dataset.labels, dataset.usage, numbers, rule)
            counts[f"{policy}, {rule}"] = usage[rows].value_counts()
    return pd.DataFrame(counts).T.rename_axis("policy, contradicting copies")


def flagged_labels(dataset, copies: pd.DataFrame, features: np.ndarray) -> pd.DataFrame:
    """Compare how often labels are flagged among training pictures whose copies contradict each other, and in all.

    The arguments are those of `accuracy_with_and_without`.
    """
    in_training = (copies["usage"] == "Training").to_numpy()
    training = copies[in_training]
    rows, groups = training.index.to_numpy(), training["near"].to_numpy()
    labels = dataset.labels[rows]
    probabilities = audit.cross_validated_probabilities(features[in_training], labels, groups)
    flagged = audit.suspicious_labels(labels, probabilities)["flagged"].sort_index().to_numpy()
    contradicting = (pd.Series(labels).groupby(groups).transform("nunique") > 1).to_numpy()
    table = {}
    for name, chosen in {"copies under several labels": contradicting, "all": np.ones(len(rows), bool)}.items():
        low, high = wilson_interval(int(flagged[chosen].sum()), int(chosen.sum()))
        table[name] = {"n": int(chosen.sum()), "flagged": f"{flagged[chosen].mean():.1%} ({low:.1%} to {high:.1%})"}
    return pd.DataFrame.from_dict(table, "index").rename_axis("training pictures")


def main() -> None:
    arguments = parser("leakage_audit", __doc__).parse_args()
    dataset, watch = open_data(arguments), Stopwatch()
    before = time.process_time()
    pairs = near_pairs(dataset.images)
    seconds = time.process_time() - before
    copies = audit.find_copies(dataset, pairs)
    features = dataset.edge_features(dataset.images[copies.index.to_numpy()])
    twins = audit.twins_in_training(copies)
    twins.index = pd.Index([" ".join(names) for names in twins.index], name="part and emotion")
    tables = {
        "twins": twins.astype(object),
        "worth": accuracy_by_twin(dataset, copies),
        "memory": accuracy_with_and_without(dataset, copies, features),
        "contradictions": audit.contradictions(copies).astype(object).rename_axis("copies"),
        "label pairs": audit.label_pairs(copies).to_frame(),
        "policies": what_is_left(dataset, pairs),
        "flagged": flagged_labels(dataset, copies, features),
    }
    rows = [
        table.rename_axis("row").reset_index().melt("row", var_name="column").assign(table=name)
        for name, table in tables.items()
    ]
    settings = {"near_pairs": len(pairs), "seeds": len(SEEDS)}
    content = record(arguments, dataset, settings, watch.seconds, pd.concat(rows))
    text = HEAD.format(pairs=len(pairs), seconds=seconds)
    text += "".join(f"\n## {TITLES[name]}\n\n{as_table(table)}" for name, table in tables.items())
    command = "python -m benchmarks.leakage_audit --data archive.zip"
    arguments.table.write_text(text + "\n" + measured_line(content, command), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
