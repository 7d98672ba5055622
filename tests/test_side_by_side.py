"""The benchmarks' table: medians, ratios, units; and the page that the scaling benchmark writes into."""

import pytest

from benchmarks import scaling
from benchmarks.side_by_side import Comparison, compare


def test_a_row_holds_medians_and_the_spread_of_the_ratio():
    row = Comparison("open", "a loop", [1.0, 2.0, 1.0], [3.0, 4.0, 5.0]).row()
    assert row == "| open | a loop | 1.000 s | 4.000 s | 3.0× (2.0 to 5.0) | 3 |"


def test_a_row_in_another_unit():
    row = Comparison("memory", "arrays", [1024.4], [2048.8], unit="MiB", digits=0).row()
    assert row == "| memory | arrays | 1,024 MiB | 2,049 MiB | 2.0× (2.0 to 2.0) | 1 |"


def test_the_first_round_does_not_count():
    calls = []
    comparison = compare("x", "y", lambda: calls.append("ours"), lambda: calls.append("plain"), repeats=2)
    assert calls == ["ours", "plain"] * 3 and len(comparison.ours) == len(comparison.plain) == 2


def test_only_what_is_between_the_marks_is_replaced():
    page = f"before\n{scaling.BEGIN}\nold\n{scaling.END}\nafter\n"
    new = scaling.put_between_marks(page, "new")
    assert new == f"before\n{scaling.BEGIN}\n\nnew\n\n{scaling.END}\nafter\n"
    assert scaling.put_between_marks(new, "new") == new
    with pytest.raises(ValueError):
        scaling.put_between_marks("no marks", "new")


def test_the_page_has_its_marks():
    page = scaling.PAGE.read_text(encoding="utf-8")
    assert page.count(scaling.BEGIN) == page.count(scaling.END) == 1
