"""Tables as a page should show them: text to the left, numbers to the right, shares in per cent."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

TO_THE_LEFT = {"selector": "th, td", "props": "text-align: left; vertical-align: top"}

NO_RECORD = "This table was recorded on FER-2013; it comes with a clone of the project."


@dataclass(frozen=True)
class Shown:
    """What the last line of a cell, or `display`, shows: HTML on a page, plain text elsewhere."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def show(
    table: pd.DataFrame | pd.Series | None, percent: Collection[str] = (), decimals: int = 1, index: bool = True
) -> Shown:
    """Return a table so that a notebook shows it well.

    Args:
        table: what to show; None, for a recorded table that is not there, becomes a sentence.
        percent: columns of shares 0..1, to be written as per cent with a decimal. A column whose name says "percent" is
            in per cent already and only gets the sign.
        decimals: of all other numbers that are no integers.
        index: whether to show the index.
    """
    if table is None:
        return Shown(f"<p>{NO_RECORD}</p>", NO_RECORD)
    # A recorded table's columns may hold numbers without being columns of numbers.
    table = (table.to_frame() if isinstance(table, pd.Series) else table).infer_objects()
    if index and table.index.nlevels == 1 and table.index.name:
        # Beside the columns' names, instead of in a line of its own below them.
        table = table.rename_axis(index=None, columns=table.index.name)
    formats = dict.fromkeys(table.select_dtypes("integer"), "{:,}")
    for column in table.select_dtypes("floating"):
        formats[column] = f"{{:,.{decimals}f}}" + "%" * ("percent" in str(column))
    formats |= dict.fromkeys(percent, "{:.1%}")
    right = ", ".join(f".col{table.columns.get_loc(column)}" for column in formats)
    # Named after its content, so that the same table leaves the same page.
    name = hashlib.sha256(f"{table.to_csv()}{formats}".encode()).hexdigest()[:8]
    styler = table.style.set_uuid(name).format(formats, na_rep="", precision=decimals)
    styler.set_table_styles([TO_THE_LEFT, {"selector": right or ".none", "props": "text-align: right"}])
    return Shown((styler if index else styler.hide()).to_html(), table.to_string(index=index))
