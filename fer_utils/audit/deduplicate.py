"""Leaving copies out: one switch for any notebook that wants to train on a dataset without leaks.

The test parts stay as they are unless asked otherwise: the same pictures are then scored with and without the switch,
so that a change of the score comes from the training, and the number of pictures is the one that others report.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from fer_utils.audit.near_copies import near_groups
from fer_utils.common.errors import UserError
from fer_utils.dataset import FerDataset, duplicate_groups
from fer_utils.dataset.fer_dataset import fingerprint_of

POLICIES = ("none", "exact", "near")

CONTRADICTING = ("drop", "majority")


def deduplicate(
    dataset: FerDataset,
    policy: str = "near",
    contradicting: str = "drop",
    within_tests: bool = False,
    progress: bool = True,
) -> FerDataset:
    """Return the dataset without copies.

    Args:
        dataset: from `load_dataset`.
        policy: "none" returns the dataset as it is; "exact" treats identical pictures as copies, "near" also those that
            `near_duplicates.near_groups` finds.
        contradicting: see `kept_rows`.
        within_tests: see `kept_rows`.
        progress: whether to show progress bars.

    Returns:
        A dataset in the same order, with a note that says what was left out, and a fingerprint of its own.

    Raises:
        UserError: if a policy or rule is unknown.
    """
    if policy not in POLICIES:
        raise UserError(f"unknown policy '{policy}': choose one of {', '.join(POLICIES)}")
    if policy == "none":
        return dataset
    images = np.asarray(dataset.images)
    groups = near_groups(images, progress=progress) if policy == "near" else duplicate_groups(images)
    rows = kept_rows(dataset.labels, dataset.usage, groups, contradicting, within_tests)
    arrays = {name: np.asarray(getattr(dataset, name)[rows]) for name in ("images", "labels", "usage", "names")}
    note = f"{len(dataset) - len(rows):,} of {len(dataset):,} pictures were left out as copies (policy '{policy}')"
    fingerprint = fingerprint_of(arrays["images"], arrays["labels"], arrays["usage"])
    return replace(dataset, **arrays, fingerprint=fingerprint, notes=[*dataset.notes, note])


def kept_rows(
    labels: np.ndarray, usage: np.ndarray, groups: np.ndarray, contradicting: str = "drop", within_tests: bool = False
) -> np.ndarray:
    """Choose what stays.

    1. A training picture with a copy in a test part goes.
    2. Of the training pictures that are left, copies of one picture are reduced to the first of them.
    3. Copies under several labels all go ("drop"), or the first with the label that most of them carry stays, if
       there is one such label ("majority").

    Args:
        labels: int64 (n,).
        usage: str (n,), each "Training", "PublicTest" or "PrivateTest".
        groups: int64 (n,), the same number for copies; from `duplicate_groups` or `near_groups`.
        contradicting: "drop" or "majority".
        within_tests: whether to apply 2 and 3 within each test part too.

    Returns:
        Sorted positions, int64.

    Raises:
        UserError: if the rule is unknown.
    """
    if contradicting not in CONTRADICTING:
        raise UserError(f"unknown rule '{contradicting}': choose one of {', '.join(CONTRADICTING)}")
    table = pd.DataFrame({"label": labels, "usage": usage, "group": groups})
    in_training = table["usage"] == "Training"
    leaking = in_training & table["group"].isin(table.loc[~in_training, "group"])
    parts = [
        part if name != "Training" and not within_tests else _one_each(part, contradicting)
        for name, part in table[~leaking].groupby("usage")
    ]
    return np.sort(np.concatenate([part.index.to_numpy(np.int64) for part in parts]))


def _one_each(part: pd.DataFrame, contradicting: str) -> pd.DataFrame:
    counts = part.groupby(["group", "label"]).size().rename("n").reset_index()
    if contradicting == "majority":
        counts = counts[counts["n"] == counts.groupby("group")["n"].transform("max")]
    agreed = counts[~counts["group"].duplicated(keep=False)]
    chosen = part.reset_index().merge(agreed[["group", "label"]], on=["group", "label"])
    return part.loc[chosen.groupby("group")["index"].min()]
