"""Many runs of the notebooks: every combination of the values in a grid, each in a folder of its own.

A grid is a YAML file:

    profile: sample
    only: ["03"]
    parameters: {EPOCHS: 2}          # the same in every run
    grid:                            # crossed
      SEED: [0, 1, 2]
      LEARNING_RATE: [0.0003, 0.001]

Each combination is an ordinary run of `runner.run_notebooks`. What is finished is skipped when the sweep is called
again, so a sweep may be stopped at any time, cut into parts for several machines, or extended by more values.
"""

import hashlib
import itertools
import json
import math
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import yaml
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.dataset.fer_dataset import data_title
from fer_utils.records.run_record import load_results
from fer_utils.runner.execute import share_processors
from fer_utils.runner.profiles import find_notebooks, notebook_folder, notebook_parameters
from fer_utils.runner.series import NotebookFailed, earlier_runs, make_folder, plan_run, run_notebooks
from fer_utils.runner.values import as_typed
from fer_utils.training.run_files import METRICS_FILE

PARAMETERS_FILE = "parameters.json"

RESULTS_FILE = "results.csv"

LONGEST_VALUE = 40

SECTIONS = ("profile", "only", "parameters", "grid")


@dataclass(frozen=True)
class Grid:
    """What a grid file says.

    Attributes:
        name: of the file, without its ending.
        profile: name of a file in notebooks/profiles/.
        only: beginnings of notebooks' names; None for all six.
        parameters: the same in every run; they win over the profile's.
        values: the lists to be crossed, by parameter.
    """

    name: str
    profile: str
    only: list[str] | None
    parameters: dict
    values: dict[str, list]

    def combinations(self) -> dict[str, dict]:
        """Return each combination of the values, by the name of its folder.

        The names stay when the file's lines are put in another order or a value is added to a list.
        """
        names = sorted(self.values)
        crossed = itertools.product(*(self.values[name] for name in names))
        combinations = [dict(zip(names, values, strict=True)) for values in crossed]
        return {_folder_name(combination): combination for combination in combinations}


def read_grid(path: str | Path) -> Grid:
    """Read a grid file and check it against the notebooks.

    Raises:
        UserError: if there is no such file, it does not say what a grid must, a name is unknown, a value is not of its
            parameter's type, or a parameter is in none of the notebooks chosen.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such grid file: {path}; docs/sweep_example.yaml is one to begin with")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name} is not valid YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(content, dict) or not set(content) <= set(SECTIONS):
        raise UserError(f"{path.name} must be a mapping with {', '.join(SECTIONS)} and nothing else")
    only, parameters, values = content.get("only"), content.get("parameters") or {}, content.get("grid")
    if only is not None:
        only = [str(name) for name in (only if isinstance(only, list) else [only])]
    if not isinstance(parameters, dict):
        raise UserError(f"{path.name}: 'parameters' must map names to values")
    if not isinstance(values, dict) or not values or not all(isinstance(v, list) and v for v in values.values()):
        raise UserError(f"{path.name}: 'grid' must map names to lists of values, for example SEED: [0, 1, 2]")
    defaults = {}
    for notebook in find_notebooks(appendix=True):
        defaults |= notebook_parameters(notebook)
    # An unknown name keeps its values; `_check` refuses it.
    parameters = {name: as_typed(name, value, defaults.get(name, value)) for name, value in parameters.items()}
    values = {name: [as_typed(name, value, defaults.get(name, value)) for value in row] for name, row in values.items()}
    grid = Grid(path.stem, str(content.get("profile", "sample")), only, parameters, values)
    _check(grid, path.name)
    return grid


def _check(grid: Grid, file: str) -> None:
    """Refuse what would run in vain or overwrite itself."""
    if "OUTPUT_DIR" in {*grid.parameters, *grid.values}:
        raise UserError(f"{file}: OUTPUT_DIR is set by the sweep; give the folder with --out")
    for name in set(grid.parameters) & set(grid.values):
        raise UserError(f"{file}: {name} is both in 'parameters' and in 'grid'")
    combinations = grid.combinations()
    # Without regard to case, as some file systems are.
    if len({name.casefold() for name in combinations}) < math.prod(map(len, grid.values.values())):
        raise UserError(f"{file}: a value stands twice in a list of 'grid'")
    for combination in combinations.values():
        plan = plan_run(grid.profile, grid.only, Path("/"), {**grid.parameters, **combination})
    known = set().union(*(notebook_parameters(notebook) for notebook in plan))
    for name in (*grid.parameters, *grid.values):
        if name not in known:
            chosen = ", ".join(notebook.stem for notebook in plan)
            raise UserError(f"{file}: none of the notebooks chosen ({chosen}) has a parameter '{name}'")


def _folder_name(combination: dict) -> str:
    return ",".join(f"{name}={_as_text(value)}" for name, value in combination.items())


def _as_text(value) -> str:
    """Write a value so that any file system takes it; what is lost by that is replaced by a checksum."""
    text = str(value)
    plain = re.sub(r"[^A-Za-z0-9.+-]+", "-", text)[:LONGEST_VALUE]
    return plain if plain == text else f"{plain}~{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def default_folder(grid: Grid) -> Path:
    """Return runs/sweeps/<name of the grid file> in the project."""
    return notebook_folder().parent / "runs" / "sweeps" / grid.name


def parse_part(text: str) -> tuple[int, int]:
    """Turn "3/10" into (3, 10).

    Raises:
        UserError: if it is not K/N with 1 ≤ K ≤ N.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    k, n = map(int, found.groups()) if found else (0, 0)
    if not 1 <= k <= n:
        raise UserError(f"'{text}' is not a part: write --part 3/10 for the third of ten")
    return k, n


def run_sweep(
    grid: Grid, out: str | Path | None = None, jobs: int = 1, part: tuple[int, int] = (1, 1), progress: bool = True
) -> dict[str, str]:
    """Run every combination that is not finished, and write the results of all as results.csv.

    A combination that fails is kept, with its report, and tried again when the sweep is called again.

    Args:
        grid: from `read_grid`.
        out: the folder to write to; `default_folder` if None.
        jobs: combinations that run at the same time, in processes of their own.
        part: (k, n): only the k-th of n equal parts, counted from 1, over all combinations, finished or not.
        progress: whether to show a progress bar.

    Returns:
        The errors by the combination's name; empty if all went well.

    Raises:
        UserError: if `out` cannot be written to.
    """
    out = (Path(out) if out else default_folder(grid)).resolve()
    make_folder(out)
    mine = dict(list(grid.combinations().items())[part[0] - 1 :: part[1]])
    waiting = {name: values for name, values in mine.items() if unfinished(grid, values, out / name)}
    errors = {}
    with tqdm(total=len(mine), initial=len(mine) - len(waiting), desc="sweep", unit="run", disable=not progress) as bar:
        for name, error in _run_all(grid, waiting, out, jobs):
            if error:
                errors[name] = error
                bar.set_postfix_str(f"{len(errors)} failed")
            bar.update()
            write_results(out)
    write_results(out)
    return errors


def _run_all(grid: Grid, combinations: dict[str, dict], out: Path, jobs: int) -> Iterator[tuple[str, str]]:
    """Run combinations and yield (name, error), as they end."""
    if jobs == 1:
        for name, values in combinations.items():
            yield name, run_combination(grid, values, out / name)
        return
    # Fresh processes: a fork of one that has loaded a framework may hang.
    with ProcessPoolExecutor(jobs, get_context("spawn"), share_processors, (jobs,)) as pool:
        running: dict[Future, str] = {
            pool.submit(run_combination, grid, values, out / name): name for name, values in combinations.items()
        }
        try:
            for future in as_completed(running):
                error = future.exception()
                yield running[future], _one_line(error) if error else future.result()
        finally:
            # After Ctrl-C, what has not begun must not begin.
            pool.shutdown(cancel_futures=True)


def run_combination(grid: Grid, values: dict, folder: str | Path) -> str:
    """Run what is not finished of one combination. Safe to call on any machine that sees the folder.

    Args:
        grid: from `read_grid`.
        values: one of `grid.combinations()`.
        folder: where this combination is kept.

    Returns:
        The error that stopped it, one line; empty if it is finished.
    """
    folder = Path(folder).resolve()
    try:
        _begin(folder, {"profile": grid.profile, "parameters": grid.parameters, "grid": values})
        only = unfinished(grid, values, folder)
        if only:
            run_notebooks(grid.profile, only, folder, {**grid.parameters, **values}, progress=False)
    # Whatever stops one combination (a kernel killed for its memory, a full disk) must not stop the others.
    except Exception as error:
        return _one_line(error)
    return ""


def _begin(folder: Path, about: dict) -> None:
    """Note what the folder is for; results of another setting under the same name are forgotten."""
    folder.mkdir(parents=True, exist_ok=True)
    note, text = folder / PARAMETERS_FILE, json.dumps(about, indent=1, default=str)
    if not note.is_file() or note.read_text(encoding="utf-8") != text:
        for metrics in (folder / "runs").rglob(METRICS_FILE):
            metrics.unlink()
        _write(note, text)


def unfinished(grid: Grid, values: dict, folder: Path) -> list[str]:
    """Return the names of the notebooks that have not yet run to their end with these values in this folder."""
    plan = plan_run(grid.profile, grid.only, folder.resolve(), {**grid.parameters, **values})
    done = earlier_runs(folder)
    names = []
    for notebook, parameters in plan.items():
        run = done.get(notebook.stem)
        wanted = {**notebook_parameters(notebook), **parameters}
        if run is None or run.error or run.parameters != wanted:
            names.append(notebook.stem)
    return names


def _one_line(error: BaseException) -> str:
    """Say what went wrong in one line; the whole traceback is in the run's index.html."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if isinstance(error, NotebookFailed) and len(lines) > 1:
        return f"{lines[0].rstrip(':')}: {lines[-1]}"
    return lines[0] if isinstance(error, UserError | NotebookFailed) else f"{type(error).__name__}: {lines[0]}"


def collect(out: str | Path) -> pd.DataFrame:
    """Return what the runs of a sweep scored.

    Args:
        out: the sweep's folder.

    Returns:
        One row a run, model and split. Columns: run; each parameter of the grid file; model; data ("FER-2013" or
        "embedded sample"); weights; split; n; accuracy, low and high (95 % interval, fractions); macro_f1; epochs;
        minutes (of training).
    """
    rows = []
    for note in sorted(Path(out).glob(f"*/{PARAMETERS_FILE}")):
        about = json.loads(note.read_text(encoding="utf-8"))
        for result in load_results(note.parent / "runs"):
            for split, score in result["scores"].items():
                rows.append(
                    {
                        "run": note.parent.name,
                        **about["parameters"],
                        **about["grid"],
                        "model": result["title"],
                        "data": data_title(result["data"]["is_sample"]),
                        "weights": result["weights"],
                        "split": split,
                        "n": score["n"],
                        "accuracy": score["accuracy"],
                        "low": score["accuracy_ci95"][0],
                        "high": score["accuracy_ci95"][1],
                        "macro_f1": score["macro_f1"],
                        "epochs": result["epochs"],
                        "minutes": round(result["seconds"] / 60, 2),
                    }
                )
    return pd.DataFrame(rows)


def write_results(out: str | Path) -> Path:
    """Write `collect(out)` as results.csv into the sweep's folder and return the file's path."""
    path = Path(out) / RESULTS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, collect(out).to_csv(index=False))
    return path


def _write(path: Path, text: str) -> None:
    """Write under another name first: several parts of a sweep may write the same file."""
    # No process number: those of two containers that share the folder may be equal.
    building = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    building.write_text(text, encoding="utf-8")
    building.replace(path)
