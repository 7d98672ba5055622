"""What the experiments share: a command line, a JSON that says what was done, and a table made from it."""

import argparse
import json
import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from fer_utils.dataset import FerDataset, load_dataset

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("numpy", "scikit-learn", "opencv-python-headless", "keras", "tensorflow")


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every experiment has."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    made.add_argument("--data", required=True, help="FER-2013, or 'sample'")
    made.add_argument("--json", type=Path, default=ROOT / "results" / "experiments" / f"{name}.json")
    made.add_argument("--table", type=Path, default=ROOT / "benchmarks" / f"{name}.md")
    return made


def open_data(arguments) -> FerDataset:
    """Open the data; the sample's figures never go where FER-2013's are kept.

    Raises:
        SystemExit: if the sample's figures would be written over those of FER-2013.
    """
    dataset = load_dataset(arguments.data)
    if dataset.is_sample and any(path.is_relative_to(ROOT) for path in (arguments.json, arguments.table)):
        raise SystemExit("figures of the sample are not kept in the project: give --json and --table elsewhere")
    return dataset


def record(arguments, dataset: FerDataset, settings: dict, seconds: float, rows: pd.DataFrame) -> dict:
    """Write what was done and found as JSON, and return it."""
    content = {
        "data": {
            "name": "the embedded sample" if dataset.is_sample else "FER-2013",
            "fingerprint": dataset.fingerprint,
            "counts": {usage: int(n) for usage, n in dataset.counts().sum(axis=1).items()},
        },
        "settings": settings,
        "seconds": round(seconds, 1),
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": rows.to_dict("records"),
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return content


def measured_line(content: dict, command: str) -> str:
    """Return the sentence under a table: on what, when, how long, with which command."""
    counts = ", ".join(f"{n:,} {usage}" for usage, n in content["data"]["counts"].items())
    return (
        f"Measured {content['finished'][:10]} on {content['data']['name']} ({counts}) with `{command}`: "
        f"{content['seconds']:.0f} seconds, {content['processors']} processors, {content['machine']}, "
        f"Python {content['python']}.\n"
    )


def as_table(frame: pd.DataFrame, code: str | None = None) -> str:
    """Return a Markdown table with the index as its first column; the column `code` is set as code."""
    head = [frame.index.name or "", *frame.columns]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, row in frame.iterrows():
        cells = [f"`{value}`" if column == code and value else str(value) for column, value in row.items()]
        lines.append("| " + " | ".join([str(name), *cells]) + " |")
    return "\n".join(lines) + "\n"


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self):
        self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self.started
