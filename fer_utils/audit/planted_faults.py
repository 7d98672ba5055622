"""What was planted in the embedded sample, and how much of it an audit finds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fer_utils.audit.files import findings, kept_by_extension
from fer_utils.common.errors import UserError
from fer_utils.common.intervals import wilson_interval
from fer_utils.common.paths import sample_archive


def planted_defects() -> pd.DataFrame:
    """Return the list of faults that were put into the embedded sample: name, defect, detail, related.

    Raises:
        UserError: if the list is missing.
    """
    path = sample_archive().with_name("fer_sample_defects.csv")
    if not path.is_file():
        raise UserError(f"the list of planted faults is missing ({path.name}): restore it with git")
    return pd.read_csv(path, keep_default_na=False)


def found_defects(files: pd.DataFrame, planted: pd.DataFrame) -> pd.DataFrame:
    """Compare what was planted with what the original's rule and the findings notice.

    Args:
        files: from `audit_files` of the embedded sample.
        planted: from `planted_defects`.

    Returns:
        One row a kind of fault: planted, found by the extension rule, found by the report (all counts of files).
    """
    marks = findings(files)
    pictures = files[files["readable"] & kept_by_extension(files) & ~marks["blank"]]
    copies = pictures["name"][pictures["fingerprint"].duplicated(keep=False)]
    dropped = set(files.loc[marks["wrong_extension"] | marks["unreadable"], "name"])
    noticed = dropped | set(files.loc[marks["blank"] | marks["contradicting"], "name"]) | set(copies)
    kinds = planted.groupby("defect")["name"]
    table = pd.DataFrame(
        {
            "planted": kinds.size(),
            "found by the extension rule": kinds.agg(lambda names: names.isin(dropped).sum()),
            "found by the report": kinds.agg(lambda names: names.isin(noticed).sum()),
        }
    )
    return table.rename(index=lambda name: name.replace("_", " ")).sort_values("found by the report", ascending=False)


def score_near_pairs(pairs: pd.DataFrame, names: np.ndarray, planted: pd.DataFrame) -> pd.DataFrame:
    """Compare the near duplicates found in the embedded sample with those planted in it.

    Args:
        pairs: from `near_pairs` of the sample's images.
        names: str (n,), the dataset's names.
        planted: from `cleaning.planted_defects`.

    Returns:
        One row a kind of change and one for all: planted, found, recall (found as a share of planted, 0..1). The last
        row also has precision: the share of the pairs found that were planted.
    """
    planted = planted[planted["defect"] == "near_duplicate"]
    found = {frozenset(pair) for pair in zip(names[pairs["first"]], names[pairs["second"]], strict=True)}
    hit = [frozenset(pair) in found for pair in zip(planted["name"], planted["related"], strict=True)]
    change = planted["detail"].str.split(" ").str[0].replace("JPEG", "compressed").to_numpy()
    table = pd.Series(hit, dtype=bool).groupby(change).agg(planted="size", found="sum")
    table.loc["all"] = table.sum()
    table["recall"] = table["found"] / table["planted"]
    table.loc["all", "precision"] = sum(hit) / len(found) if found else np.nan
    return table.rename_axis("change")


def wrongly_labelled(names: np.ndarray, planted: pd.DataFrame) -> np.ndarray:
    """Return bool (n,): whether each picture of the embedded sample was given a wrong label on purpose.

    Args:
        names: str (n,).
        planted: from `cleaning.planted_defects`.
    """
    return np.isin(names, planted.loc[planted["defect"].isin(["wrong_label", "contradicting_copy"]), "name"])


def score_suspicions(ranked: pd.DataFrame, wrong: np.ndarray, tops: Sequence[int] = (50, 100, 200)) -> pd.DataFrame:
    """Compare suspicions with the truth, where it is known.

    Args:
        ranked: from `suspicious_labels`.
        wrong: bool (n,), which labels are wrong; for the sample from `wrongly_labelled`.
        tops: how many of the most suspicious to look at.

    Returns:
        One row a choice, the last being pictures drawn at random: looked at, wrong among them (counts; at random the
        expected one for as many as were flagged), precision (share of those looked at that are wrong, 0..1) with its
        95 % interval (Wilson) low and high, recall (share of all wrong labels that is found, 0..1).
    """
    flagged = int(ranked["flagged"].sum())
    hits = wrong[ranked.index.to_numpy()]
    choices = {f"the {n} most suspicious": n for n in tops if n < flagged} | {"all that were flagged": flagged}
    rows = {name: (n, int(hits[:n].sum()), *wilson_interval(int(hits[:n].sum()), n)) for name, n in choices.items()}
    table = pd.DataFrame.from_dict(rows, "index", columns=["looked at", "wrong among them", "low", "high"])
    table.insert(2, "precision", table["wrong among them"] / table["looked at"])
    table["recall"] = table["wrong among them"] / wrong.sum()
    base = wrong.mean()
    table.loc["as many at random"] = [flagged, round(base * flagged), base, np.nan, np.nan, flagged / len(wrong)]
    return table.astype({"looked at": np.int64, "wrong among them": np.int64})
