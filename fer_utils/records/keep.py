"""The runs on FER-2013 that are kept in `results/`, and the tables that are made from them."""

import json
import platform
from pathlib import Path

from fer_utils.common.errors import UserError
from fer_utils.common.paths import project_root
from fer_utils.records.series import RUNS
from fer_utils.records.wording import (
    augmentation_of,
    began_with,
    optimizer,
    share_of_filters,
    smoothing,
    taught_by_shipped,
    trained_on_all,
    trained_whole,
)


def results_folder() -> Path:
    """Return the project's results/ folder.

    Raises:
        UserError: if this package is not installed from a checkout.
    """
    root = project_root()
    if root is None:
        raise UserError("recorded results come with the project: clone it")
    return root / "results"


def load_recorded(folder: Path | None = None) -> list[dict]:
    """Return the recorded runs, by file name; none outside a checkout."""
    if folder is None:
        root = project_root()
        if root is None:
            return []
        folder = root / "results"
    return [json.loads(path.read_text(encoding="utf-8")) for path in _files(folder)]


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.json")) if path.name != "schema.json"]


def check(record: dict, folder: Path | None = None) -> None:
    """Compare a record with results/schema.json, and its figures with each other.

    Raises:
        UserError: naming the first thing that is missing or wrong.
    """
    # Only where it is needed: it takes a second to load.
    import jsonschema

    schema = json.loads(((folder or results_folder()) / "schema.json").read_text(encoding="utf-8"))
    try:
        jsonschema.validate(record, schema)
    except jsonschema.ValidationError as error:
        where = ".".join(str(part) for part in error.absolute_path) or "the record"
        raise UserError(f"this run cannot be recorded: {where}: {error.message}") from error
    for name, score in [*record["scores"].items(), *record.get("mirrored", {}).items()]:
        matrix = score["confusion_matrix"]
        right = sum(matrix[i][i] for i in range(len(matrix)))
        if sum(map(sum, matrix)) != score["n"] or abs(right / score["n"] - score["accuracy"]) > 1e-9:
            raise UserError(f"this run cannot be recorded: {name}'s accuracy does not follow from its confusion matrix")


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
        The file written: results/MODEL_seedN.json, with "_random" for a backbone that started from random weights,
        "_own" for one that started from a file, "_whole" for one of which nothing was frozen, its image size, the
        width of a network with fewer filters, over how many epochs its augmentation grew, how strong it was if not
        as the original's, how many pictures lost a rectangle, the optimizer if it was not Adam, by how much labels
        were smoothed, "_cosine" if its step size fell along one, "_taught" if the model that ships taught it,
        "_second" if it began with the weights of an earlier training, and "_all" if it held nothing out. An
        ensemble has the seeds of all its members.

    Raises:
        UserError: if there is no such run, it does not fit the schema, it is another model's, or it is kept already.
    """
    path = Path(run)
    path = path / "metrics.json" if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"no such run: {path}; give the folder that holds metrics.json")
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is not the record of a run ({error}); run the notebook again") from error
    record |= {"model": model, "command": command, "hardware": hardware or _processor()}
    folder = folder or results_folder()
    check(record, folder)
    if model in RUNS and record["name"] not in RUNS[model]:
        raise UserError(f"this run is '{record['name']}'; {model} is {' or '.join(RUNS[model])}")
    if record["settings"].get("deduplicate", "none") != "none":
        raise UserError("this run cannot be recorded: it left copies out, and the records are of the data as published")
    suffix = {"random": "_random", "file": "_own"}.get(record["weights"], "")
    suffix += "_whole" if trained_whole(record) else ""
    suffix += f"_{record['settings']['image_size']}px" if "image_size" in record["settings"] else ""
    suffix += f"share_of_filters{share_of_filters(record):g}" if share_of_filters(record) != 1 else ""
    grown, strength, erased = augmentation_of(record, model)
    suffix += f"_gentle{grown}" if grown else ""
    suffix += f"_strength{strength:g}" if strength != 1 else ""
    suffix += f"_erased{erased:g}" if erased else ""
    suffix += f"_{optimizer(record)}" if optimizer(record) != "adam" else ""
    suffix += f"_smoothing{smoothing(record, model):g}" if smoothing(record, model) else ""
    suffix += "_cosine" if record["settings"].get("schedule") == "cosine" else ""
    suffix += "_taught" if taught_by_shipped(record) else ""
    suffix += "_second" if began_with(record) else ""
    suffix += "_all" if trained_on_all(record) else ""
    seeds = [run["seed"] for run in record["settings"].get("trained", [record["settings"]])]
    kept = folder / f"{model}{suffix}_{'_'.join(f'seed{seed}' for seed in seeds)}.json"
    if kept.exists() and not replace:
        raise UserError(f"{kept.name} is recorded already; to put this run in its place, add --replace")
    kept.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return kept


def _processor() -> str:
    """Name the processor as Linux does, or as Python can."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} logical processors, {names[0]}" if names else platform.processor() or platform.machine()
