"""The runs on FER-2013 that are kept in `results/`."""

import json
import platform
import sys
from pathlib import Path

from fer_utils.common.errors import UserError
from fer_utils.common.files import write_text
from fer_utils.common.paths import project_root
from fer_utils.records import wording
from fer_utils.records.schema import check_record, read_record
from fer_utils.records.series import RUNS
from fer_utils.training.run_files import METRICS_FILE


def results_folder() -> Path:
    """Return the project's results/ folder.

    Raises:
        UserError: if this package is not installed from a checkout.
    """
    root = project_root()
    if root is None:
        raise UserError("the recorded runs are not installed with the package: clone the project")
    return root / "results"


def load_recorded(folder: Path | None = None) -> list[dict]:
    """Return the recorded runs, by file name; none outside a checkout. A damaged one costs a line on stderr."""
    if folder is None and project_root() is None:
        return []
    records, damaged = sound_and_damaged(folder)
    for line in damaged:
        print(f"fer: {line}", file=sys.stderr)
    return records


def sound_and_damaged(folder: Path | None = None) -> tuple[list[dict], list[str]]:
    """Return the recorded runs, by file name, and for each file that is none what is wrong with it.

    Raises:
        UserError: if there is no such folder.
    """
    folder = folder or results_folder()
    records, damaged = [], []
    for path in sorted(folder.glob("*.json")):
        if path.name != "schema.json":
            try:
                records.append(read_record(path, folder / "schema.json"))
            except UserError as error:
                damaged.append(str(error))
    return records, damaged


def check(record: dict, folder: Path | None = None) -> None:
    """Compare a record with results/schema.json, its figures with each other, and its data with FER-2013.

    Raises:
        UserError: naming the first thing that is missing or wrong.
    """
    try:
        check_record(record, (folder or results_folder()) / "schema.json")
    except UserError as error:
        raise UserError(f"this run cannot be recorded: {error}") from error


def keep(
    run: str | Path, model: str, command: str, hardware: str = "", folder: Path | None = None, replace: bool = False
) -> Path:
    """Copy a run's metrics.json into results/, with how it was made, if it is complete and from FER-2013.

    Args:
        run: the run's folder or its metrics.json.
        model: which of the series' models it is, a key of `SERIES`.
        command: the command that made it, as a reader would type it.
        hardware: what it ran on; by default this machine's processor, and nothing about a GPU.
        folder: where to; by default the project's results/.
        replace: whether a record of the same name may be overwritten.

    Returns:
        The file written, called as `file_name` says.

    Raises:
        UserError: if there is no such run, it does not fit the schema, it is another model's, it is not of FER-2013, or
            it is kept already.
    """
    path = Path(run)
    path = path / METRICS_FILE if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"no such run: {path}; give the folder that holds {METRICS_FILE}")
    record = read_record(path) | {"model": model, "command": command, "hardware": hardware or _processor()}
    if record.get("settings", {}).get("deduplicate", "none") != "none":
        raise UserError("this run cannot be recorded: it left copies out, and the records are of the data as published")
    folder = folder or results_folder()
    check(record, folder)
    if model in RUNS and record["name"] not in RUNS[model]:
        raise UserError(f"this run is '{record['name']}'; {model} is {' or '.join(RUNS[model])}")
    kept = folder / file_name(record)
    if kept.exists() and not replace:
        raise UserError(f"{kept.name} is recorded already; to put this run in its place, add --replace")
    write_text(kept, json.dumps(record, indent=1) + "\n")
    return kept


def file_name(record: dict) -> str:
    """Return what a record's file is called: its model, what sets it apart from the plainest run, and its seeds."""
    model, settings = record["model"], record["settings"]
    grown, strength, erased = wording.augmentation_of(record, model)
    share, smoothed = wording.share_of_filters(record), wording.smoothing(record, model)
    optimizer = wording.optimizer(record)
    apart = {
        "random": record["weights"] == "random",
        "own": record["weights"] == "file",
        "whole": wording.trained_whole(record),
        f"{settings.get('image_size')}px": "image_size" in settings,
        f"width{share:g}": share != 1,
        f"gentle{grown}": grown,
        f"strength{strength:g}": strength != 1,
        f"erased{erased:g}": erased,
        optimizer: optimizer != "adam",
        f"smoothing{smoothed:g}": smoothed,
        "cosine": settings.get("schedule") == "cosine",
        "taught": wording.taught_by_shipped(record),
        "second": wording.began_with(record),
        "all": wording.trained_on_all(record),
    }
    seeds = [f"seed{run['seed']}" for run in settings.get("trained", [settings])]
    return "_".join([model, *(name for name, holds in apart.items() if holds), *seeds]) + ".json"


def _processor() -> str:
    """Name the processor as Linux does, or as Python can."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} logical processors, {names[0]}" if names else platform.processor() or platform.machine()
