"""Timing two ways of doing the same thing, in turn, so that a machine that slows down slows both."""

import importlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """What repeated runs of our way and of the plain way took, pair by pair, in `unit`, written with `digits`."""

    what: str
    plain_way: str
    ours: list[float]
    plain: list[float]
    unit: str = "s"
    digits: int = 3

    @property
    def ratios(self) -> list[float]:
        """How many times less our way took, pair by pair."""
        return [plain / ours for ours, plain in zip(self.ours, self.plain, strict=True)]

    def row(self) -> str:
        """Return one line of the Markdown table: medians, and the spread of the ratio."""
        ours, plain, ratio = (statistics.median(values) for values in (self.ours, self.plain, self.ratios))
        return (
            f"| {self.what} | {self.plain_way} | {self._shown(ours)} | {self._shown(plain)} | {ratio:.1f}× "
            f"({min(self.ratios):.1f} to {max(self.ratios):.1f}) | {len(self.ours)} |"
        )

    def _shown(self, value: float) -> str:
        return f"{value:,.{self.digits}f} {self.unit}"


def compare(
    what: str, plain_way: str, ours: Callable, plain: Callable, repeats: int = 5, before: Callable | None = None
) -> Comparison:
    """Run both ways in turn, once without counting and then `repeats` times.

    Args:
        what: the row's name.
        plain_way: what it is measured against.
        ours: called without arguments.
        plain: called without arguments.
        repeats: counted pairs.
        before: called before each run of ours, uncounted (to empty a cache, say).
    """
    seconds: tuple[list, list] = ([], [])
    for round_number in range(repeats + 1):
        for way, kept in zip((ours, plain), seconds, strict=True):
            if way is ours and before:
                before()
            started = time.perf_counter()
            way()
            if round_number:
                kept.append(time.perf_counter() - started)
    return Comparison(what, plain_way, *seconds)


def rows_of(name: str) -> list[str]:
    """Measure the module benchmarks/`name`.py and return its lines of the table."""
    return [comparison.row() for comparison in importlib.import_module(f"benchmarks.{name}").measure()]
