"""The table of the remedies for unequal classes, as a reader should see it; benchmarks/remedies.py makes it."""

from collections.abc import Callable

import pandas as pd

MEASURES = ("accuracy", "balanced accuracy", "macro-F1", "disgust recall")


def readable(found: pd.DataFrame) -> pd.DataFrame:
    """Return the table as text, one row a remedy: mean ± spread over the seeds, and the interval."""
    return _pivoted(
        found, lambda row: f"{row['mean']:.1%} ± {row['spread']:.1%} ({row['low']:.1%} to {row['high']:.1%})"
    )


def gains(found: pd.DataFrame) -> pd.DataFrame:
    """Return, as text, what each remedy but the first gains, in percentage points with the interval."""

    def cell(row):
        return f"{100 * row['gain']:+.1f} ({100 * row['gain low']:+.1f} to {100 * row['gain high']:+.1f})"

    return _pivoted(found[found["remedy"] != found["remedy"].iloc[0]], cell)


def _pivoted(found: pd.DataFrame, cell: Callable) -> pd.DataFrame:
    cells = [cell(row) for _, row in found.iterrows()]
    shown = found.assign(cell=cells).pivot(index="remedy", columns="measure", values="cell")
    return shown.loc[found["remedy"].unique(), list(MEASURES)].rename_axis(columns=None)
