"""Who has a copy where: an audit of the copies in a dataset, exact and near, within and across its parts.

A copy across the training and a test part is a leak, because the model is examined on a picture whose answer it has
seen. A copy under two labels is a question with two contradicting answers.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from fer_utils.audit.files import BLANK_BELOW_SPREAD
from fer_utils.audit.near_copies import LEAST_CORRELATION, near_groups, near_pairs
from fer_utils.audit.planted_faults import score_near_pairs
from fer_utils.common.labels import EMOTIONS, USAGES
from fer_utils.dataset import FerDataset, duplicate_groups

KINDS = ("exact", "near")


def find_copies(dataset: FerDataset, pairs: pd.DataFrame | None = None, progress: bool = True) -> pd.DataFrame:
    """Number the copies of every picture.

    Args:
        dataset: from `load_dataset`.
        pairs: from `near_pairs(dataset.images)`, where they have been found already.
        progress: whether to show progress bars.

    Returns:
        One row a picture, index its position in the dataset: name, usage, emotion, exact (pictures with the same number
        are identical) and near (the same for identical pictures and near copies; both int64). Blank pictures are left
        out: they are no copies of a face.
    """
    images = np.asarray(dataset.images)
    copies = pd.DataFrame(
        {
            "name": dataset.names,
            "usage": dataset.usage,
            "emotion": np.array(EMOTIONS)[dataset.labels],
            "exact": duplicate_groups(images),
            "near": near_groups(images, near_pairs(images, progress=progress) if pairs is None else pairs),
        }
    )
    return copies[np.array([image.std() >= BLANK_BELOW_SPREAD for image in images])]


def has_twin(groups: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return bool, one for each of `rows`: whether one of `others` lies in the same group.

    Args:
        groups: int64 (n,), for instance `copies["near"]` or from `near_groups`.
        rows: positions, or bool (n,).
        others: positions, or bool (n,).
    """
    groups = np.asarray(groups)
    return np.isin(groups[rows], groups[others])


def twins_in_training(copies: pd.DataFrame) -> pd.DataFrame:
    """Count the test pictures that have a twin in Training.

    Args:
        copies: from `find_copies`.

    Returns:
        One row a test part and emotion, and one for the whole part: pictures, exact twin (has an identical picture in
        Training), near twin only (has a near copy there and no identical one), percent with a twin.
    """
    in_training = (copies["usage"] == "Training").to_numpy()
    exact, near = (has_twin(copies[kind], ~in_training, in_training) for kind in KINDS)
    marks = copies.loc[~in_training, ["usage", "emotion"]].assign(pictures=1)
    marks["exact twin"], marks["near twin only"] = exact, near & ~exact
    counts = marks.groupby(["usage", "emotion"]).sum()
    parts = [usage for usage in USAGES[1:] if usage in counts.index]
    # A copy without a test part gives a table without a row.
    tables = {usage: _with_total(counts.loc[usage]) for usage in parts}
    table = pd.concat(tables, names=["usage", "emotion"]) if tables else counts
    twins = table["exact twin"] + table["near twin only"]
    return table.assign(**{"percent with a twin": (100 * twins / table["pictures"]).round(1)})


def _with_total(counts: pd.DataFrame) -> pd.DataFrame:
    counts = counts.reindex([emotion for emotion in EMOTIONS if emotion in counts.index])
    return pd.concat([counts, counts.sum().to_frame("all").T]).astype(np.int64)


def contradictions(copies: pd.DataFrame) -> pd.DataFrame:
    """Count copies that carry several labels.

    Args:
        copies: from `find_copies`.

    Returns:
        Two rows, "exact" and "near" (which holds the exact ones too): groups (of two pictures and more), pictures in
        them, groups with several labels, pictures in those, percent (of the groups that have several labels).
    """
    return pd.DataFrame([_contradictions(copies.groupby(kind)["emotion"]) for kind in KINDS], index=KINDS)


def _contradictions(labels) -> dict:
    groups = labels.agg(["size", "nunique"])
    groups = groups[groups["size"] > 1]
    several = groups[groups["nunique"] > 1]
    return {
        "groups": len(groups),
        "pictures": int(groups["size"].sum()),
        "groups with several labels": len(several),
        "pictures in those": int(several["size"].sum()),
        "percent": round(100 * len(several) / max(len(groups), 1), 1),
    }


def label_pairs(copies: pd.DataFrame, kind: str = "near") -> pd.Series:
    """Return how many groups of copies hold each pair of labels, the most frequent pair first.

    Args:
        copies: from `find_copies`.
        kind: "exact" or "near".
    """
    found = [
        f"{first} and {second}"
        for _, labels in copies.groupby(kind)["emotion"]
        for first, second in combinations(sorted(labels.unique(), key=EMOTIONS.index), 2)
    ]
    return pd.Series(found, dtype=object).value_counts().rename_axis("two labels of one picture").rename("groups")


def across_parts(pairs: pd.DataFrame, usage: np.ndarray) -> pd.DataFrame:
    """Return the pairs of near copies that lie in Training and in a test part.

    Args:
        pairs: from `near_pairs`.
        usage: str (n,), the part of each picture.
    """
    in_training = np.asarray(usage) == "Training"
    return pairs[in_training[pairs["first"]] != in_training[pairs["second"]]]


def score_limits(
    pairs: pd.DataFrame, names: np.ndarray, planted: pd.DataFrame, limits: Sequence[int] = (4, 12, 20, 32, 40)
) -> pd.DataFrame:
    """Show what the limit on the bits does, and what the second step repairs, on the embedded sample.

    Args:
        pairs: from `near_pairs(images, max(limits), least_correlation=-1)`.
        names: str (n,), the dataset's names.
        planted: from `cleaning.planted_defects`.
        limits: how many bits apart a pair may be at most.

    Returns:
        One row a limit: recall (0..1), precision of the hash alone, precision with pixels (after the second step).
    """
    table = {}
    for limit in limits:
        hashed = pairs[pairs["bits_apart"] <= limit]
        checked = hashed[hashed["correlation"] >= LEAST_CORRELATION]
        alone, both = (score_near_pairs(found, names, planted).loc["all"] for found in (hashed, checked))
        table[limit] = both["recall"], alone["precision"], both["precision"]
    columns = ["recall", "precision of the hash alone", "precision with pixels"]
    return pd.DataFrame.from_dict(table, "index", columns=columns).rename_axis("bits apart at most")
