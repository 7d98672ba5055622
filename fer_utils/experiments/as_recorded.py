"""Experiments on FER-2013 that are kept in `results/experiments/`, for notebooks that run them on the sample."""

import json

import pandas as pd

from fer_utils.common.paths import project_root


def recorded_experiment(name: str) -> pd.DataFrame | None:
    """Return the table of an experiment as it was measured on FER-2013, or None where there is no record of it.

    Args:
        name: "broken_protocols" (as from `wrong_protocols.compare`), "imbalance" (as from `benchmarks.remedies`) or
            "gentle_start" and "muon" (as for `plots.seeds_chart`).

    Returns:
        Its rows; how they were measured, as a dict, in `attrs["settings"]`.
    """
    root = project_root()
    path = root / "results" / "experiments" / f"{name}.json" if root else None
    if path is None or not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = pd.DataFrame(content["rows"])
    rows.attrs["settings"] = content["settings"]
    return rows


def recorded_table(name: str, table: str) -> pd.DataFrame | None:
    """Return one of the tables of an experiment that has several, with its rows and columns in the recorded order.

    Args:
        name: "leakage_audit".
        table: "twins", "worth", "memory", "contradictions", "label pairs", "policies" or "flagged".

    Returns:
        None where there is no record of it.
    """
    cells = recorded_experiment(name)
    if cells is None:
        return None
    cells = cells[cells["table"] == table]
    wide = cells.pivot(index="row", columns="column", values="value")
    wide = wide.loc[cells["row"].unique(), cells["column"].unique()]
    return wide.rename_axis(index=None, columns=None)
