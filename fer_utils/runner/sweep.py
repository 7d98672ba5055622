"""Many runs of the notebooks: every combination of the values in a grid, spread by Dask; docs/scaling.md shows a grid.

Each is an ordinary run of `series.run_notebooks` in a folder of its own. What is finished is skipped the next time, so
a sweep may be stopped at any time, or extended by more values.
"""

import contextlib
import hashlib
import itertools
import json
import logging
import os
import re
import threading
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError

try:
    from distributed import Client, LocalCluster, as_completed, system
except ImportError as error:
    raise UserError("a sweep needs Dask: install it with 'pip install -e .[scale]'") from error

from fer_utils.common.files import write_text
from fer_utils.records.run_record import METRICS_FILE, load_results
from fer_utils.records.wording import data_of
from fer_utils.runner.profiles import find_notebooks, notebook_folder, notebook_parameters
from fer_utils.runner.series import NotebookFailed, earlier_runs, make_folder, plan_run, run_notebooks
from fer_utils.runner.values import as_typed

PARAMETERS_FILE, RESULTS_FILE = "parameters.json", "results.csv"
SECTIONS = ("profile", "only", "parameters", "grid")
BYTES_PER_RUN = 2.5 * 1024**3
TIMEOUT_SECONDS = 10

# papermill changes the folder of its whole process.
_one_at_a_time = threading.Lock()


class Grid(NamedTuple):
    """What a grid file says: a profile, the notebooks, and by the name of its folder the parameters of every run."""

    name: str
    profile: str
    only: list[str] | None
    runs: dict[str, dict]


def read_grid(path: str | Path) -> Grid:
    """Read a grid file and check it against the notebooks.

    Raises:
        UserError: if there is no such file, or what it asks for would run in vain or overwrite itself.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"no such grid file: {path}; docs/sweep_example.yaml is one to begin with") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name} is not valid YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(content, dict) or not set(content) <= set(SECTIONS):
        raise UserError(f"{path.name} must be a mapping with {', '.join(SECTIONS)} and nothing else")
    only, fixed, values = content.get("only"), content.get("parameters") or {}, content.get("grid")
    if only is not None:
        only = [str(name) for name in (only if isinstance(only, list) else [only])]
    if not isinstance(fixed, dict):
        raise UserError(f"{path.name}: 'parameters' must map names to values")
    if not isinstance(values, dict) or not values or not all(isinstance(row, list) and row for row in values.values()):
        raise UserError(f"{path.name}: 'grid' must map names to lists of values, for example SEED: [0, 1, 2]")
    if "OUTPUT_DIR" in {*fixed, *values}:
        raise UserError(f"{path.name}: OUTPUT_DIR is set by the sweep; give the folder with --out")
    for name in set(fixed) & set(values):
        raise UserError(f"{path.name}: {name} is both in 'parameters' and in 'grid'")
    grid = Grid(path.stem, str(content.get("profile", "sample")), only, _crossed(fixed, values, path.name))
    for parameters in grid.runs.values():
        plan_run(grid.profile, only, Path("/"), parameters)
    return grid


def _crossed(fixed: dict, values: dict[str, list], file: str) -> dict[str, dict]:
    """Return all parameters of each combination by a name that stays when lines are moved or values are added."""
    own = {}
    for notebook in find_notebooks(appendix=True):
        own |= notebook_parameters(notebook)
    # An unknown name keeps its values, and is refused later.
    fixed = {name: as_typed(name, value, own.get(name, value)) for name, value in fixed.items()}
    rows = [[(name, as_typed(name, value, own.get(name, value))) for value in values[name]] for name in sorted(values)]
    pairs = list(itertools.product(*rows))
    runs = {",".join(f"{name}={_as_text(value)}" for name, value in each): {**fixed, **dict(each)} for each in pairs}
    # Without regard to case, as some file systems are.
    if len({name.casefold() for name in runs}) < len(pairs):
        raise UserError(f"{file}: a value stands twice in a list of 'grid'")
    return runs


def _as_text(value) -> str:
    """Write a value so that any file system takes it; what is lost by that is replaced by a checksum."""
    text = str(value)
    plain = re.sub(r"[^A-Za-z0-9.+-]+", "-", text)[:40]
    return plain if plain == text else f"{plain}~{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def default_folder(grid: Grid) -> Path:
    """Return runs/sweeps/<name of the grid file> in the project."""
    return notebook_folder().parent / "runs" / "sweeps" / grid.name


def run_sweep(grid: Grid, out: Path, scheduler: str | None = None, progress: bool = True) -> dict[str, str]:
    """Run every combination that is not finished, and write the results of all as results.csv.

    Args:
        grid: from `read_grid`.
        out: the folder to write to, which every worker must see.
        scheduler: the address of a Dask scheduler; a cluster of this machine's processors if None.
        progress: whether to show a progress bar.

    Returns:
        The errors by the run's name; these are tried again when the sweep is called again.

    Raises:
        UserError: if `out` cannot be written to, Dask is not installed, or no scheduler answers.
    """
    out = Path(out).resolve()
    make_folder(out)
    waiting = [name for name in grid.runs if unfinished(grid, name, out)]
    errors = {}
    if waiting:
        with _client(scheduler, len(waiting)) as client:
            running = {client.submit(run_combination, grid, name, out, pure=False): name for name in waiting}
            for future in tqdm(as_completed(running), "sweep", len(running), unit="run", disable=not progress):
                error = _one_line(future.exception()) if future.exception() else future.result()
                errors |= {running[future]: error} if error else {}
                write_text(out / RESULTS_FILE, collect(out).to_csv(index=False))
    write_text(out / RESULTS_FILE, collect(out).to_csv(index=False))
    return errors


@contextlib.contextmanager
def _client(scheduler: str | None, runs: int):
    """Open Dask's client of the scheduler at an address, or of a cluster for so many runs that lasts as long."""
    if scheduler:
        try:
            client = Client(scheduler, timeout=TIMEOUT_SECONDS)
        except (OSError, ValueError) as error:
            raise UserError(f"no Dask scheduler answers at {scheduler}: start one with 'dask scheduler'") from error
        with client:
            yield client
        return
    processors = os.cpu_count() or 1
    workers = max(1, min(processors, int(system.MEMORY_LIMIT // BYTES_PER_RUN), runs))
    names = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")
    share = {name: os.environ.get(name, str(max(1, processors // workers))) for name in names}
    # Without certificates of its own, every user of this machine could have the workers run something.
    options = {"security": True, "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL, "env": share}
    with LocalCluster(n_workers=workers, threads_per_worker=1, **options) as cluster, Client(cluster) as client:
        yield client


def run_combination(grid: Grid, name: str, out: Path) -> str:
    """Run what is not finished of one combination and return the error that stopped it in one line, "" if none did."""
    folder, parameters = out / name, grid.runs[name]
    note, text = folder / PARAMETERS_FILE, json.dumps(parameters, indent=1)
    try:
        with _one_at_a_time:
            folder.mkdir(parents=True, exist_ok=True)
            if not note.is_file() or note.read_bytes() != text.encode():
                # Scores of other settings under the same name are forgotten.
                for metrics in (folder / "runs").rglob(METRICS_FILE):
                    metrics.unlink()
                write_text(note, text)
            rest = unfinished(grid, name, out)
            known = set().union(*(notebook_parameters(path) for path in rest))
            wanted = {name: value for name, value in parameters.items() if name in known}
            if rest:
                run_notebooks(grid.profile, [path.stem for path in rest], folder, wanted, progress=False)
    # Whatever stops one combination (a kernel killed for its memory, a full disk) must not stop the others.
    except Exception as error:
        return _one_line(error)
    return ""


def unfinished(grid: Grid, name: str, out: Path) -> list[Path]:
    """Return the notebooks that have not yet run to their end with a combination's parameters."""
    plan, done = plan_run(grid.profile, grid.only, out / name, grid.runs[name]), earlier_runs(out / name)

    def is_finished(path: Path) -> bool:
        run = done.get(path.stem)
        return run is not None and not run.error and run.parameters == {**notebook_parameters(path), **plan[path]}

    return [path for path in plan if not is_finished(path)]


def _one_line(error: BaseException) -> str:
    """Say what went wrong in one line; the whole traceback is in the run's index.html."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if isinstance(error, NotebookFailed) and len(lines) > 1:
        return f"{lines[0].rstrip(':')}: {lines[-1]}"
    return lines[0] if isinstance(error, UserError | NotebookFailed) else f"{type(error).__name__}: {lines[0]}"


def collect(out: str | Path) -> pd.DataFrame:
    """Return what the runs in a sweep's folder scored: one row a run, model and split.

    Columns: run; each parameter of the grid file; model; data ("FER-2013", "embedded sample" or "other pictures");
    weights; split; n; accuracy, low and high (95 % interval, fractions); macro_f1; epochs; minutes (of training).
    """
    rows = []
    for note in sorted(Path(out).glob(f"*/{PARAMETERS_FILE}")):
        try:
            parameters = dict(json.loads(note.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            # The next call finds it different from what it should be, and begins this run anew.
            continue
        for result in load_results(note.parent / "runs"):
            about = {"run": note.parent.name, **parameters, "model": result["title"]}
            about |= {"data": data_of(result), "weights": result["weights"]}
            for split, score in result["scores"].items():
                row = about | {"split": split, "n": score["n"], "accuracy": score["accuracy"]}
                row |= dict(zip(("low", "high"), score["accuracy_ci95"], strict=True), macro_f1=score["macro_f1"])
                rows.append(row | {"epochs": result["epochs"], "minutes": round(result["seconds"] / 60, 2)})
    return pd.DataFrame(rows)
