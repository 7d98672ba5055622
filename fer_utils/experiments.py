"""Experiments on FER-2013 that are kept in `results/experiments/`, for notebooks that run them on the sample."""

import json

import pandas as pd

from fer_utils.paths import project_root


def recorded_experiment(name: str) -> pd.DataFrame | None:
    """Return the table of an experiment as it was measured on FER-2013, or None where there is no record of it.

    Args:
        name: "broken_protocols" (as from `broken_protocols.compare`) or "imbalance" (as from `imbalance.table`).
    """
    root = project_root()
    path = root / "results" / "experiments" / f"{name}.json" if root else None
    if path is None or not path.is_file():
        return None
    return pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["rows"])
