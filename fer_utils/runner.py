"""Running the notebooks without a browser: papermill, a progress bar, a folder a teacher can open."""

import contextlib
import json
import math
import os
import re
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import filelock
import nbformat
from tqdm.auto import tqdm

from fer_utils.errors import UserError
from fer_utils.profiles import (
    check_profile,
    find_notebooks,
    notebook_folder,
    notebook_parameters,
    parameters_for,
    read_profile,
)
from fer_utils.report import write_report

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
CELL_TIMEOUT_SECONDS = 48 * 3600
# Everything is written when the last cell ends; a kernel with TensorFlow in it takes two seconds to take itself apart.
AT_THE_END = "immediate"
RUN_FILE = "run.json"
# Each may be given relative to where the command is; the kernels work in notebooks/.
PATH_VARIABLES = ("FER_DATA", "FER_CACHE", "FER_FLAGGED")
OUT_OF_MEMORY = "often for lack of memory: lower BATCH_SIZE or --jobs"
WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass
class NotebookRun:
    """One executed notebook: its name, seconds, parameters, and the error that stopped it, if any."""

    notebook: str
    seconds: float
    parameters: dict
    error: str = ""


class NotebookFailed(RuntimeError):
    """A notebook stopped; the message shows notebook, cell and traceback."""


def run_notebooks(
    profile: str = "sample",
    only: list[str] | None = None,
    out: str | Path | None = None,
    overrides: dict | None = None,
    progress: bool = True,
    jobs: int = 1,
) -> Path:
    """Execute the notebooks under a profile.

    Leaves in `out`: the executed notebooks, one HTML page each, `runs/` with models, histories and metrics,
    `run.json`, and `index.html` with everything on one page. The committed notebooks are not touched.

    Args:
        profile: name of a file in notebooks/profiles/.
        only: beginnings of the notebooks' names ("03"); all six if None.
        out: the folder to write to; `runs/<profile>` in the project if None.
        overrides: parameters that win over the profile's.
        progress: whether to show a progress bar.
        jobs: notebooks that run at the same time. One that compares itself with others' results waits for them.

    Returns:
        The path of index.html.

    Raises:
        UserError: if a name is unknown, a value does not fit or `out` cannot be written to (nothing has run then), or
            if notebooks wait for each other.
        NotebookFailed: at the first cell that raises, or if a kernel dies; what ran before is kept and reported. With
            several jobs, a notebook that is running at that moment is finished first.
    """
    out = (Path(out) if out else notebook_folder().parent / "runs" / profile).resolve()
    plan = plan_run(profile, only, out, overrides)
    make_folder(out / "runs")
    with tqdm(total=len(plan), desc="notebooks", unit="notebook", disable=not progress) as bar:
        errors = []
        for run in _run_in_turn(plan, out, bar) if jobs == 1 else _run_side_by_side(plan, out, jobs, bar):
            _save_run(out, run)
            bar.set_postfix_str(f"{run.seconds:.0f} s")
            bar.update()
            errors += [run.error] if run.error else []
    # Within the lock, so that of two commands the later page is the one that knows all.
    with _lock(out):
        page = write_report(out, profile, list(earlier_runs(out).values()))
    if errors:
        raise NotebookFailed(errors[0])
    return page


def _run_in_turn(plan: dict[Path, dict], out: Path, bar: tqdm) -> Iterator[NotebookRun]:
    """Run notebooks one by one and yield them as they end; the first with an error is the last."""
    for notebook, values in plan.items():
        bar.set_description(notebook.stem)
        run = _run_one(notebook, out, values)
        _write_html(notebook, out)
        yield run
        if run.error:
            return


def _run_side_by_side(plan: dict[Path, dict], out: Path, jobs: int, bar: tqdm) -> Iterator[NotebookRun]:
    """Run notebooks in processes of their own and yield them as they end; after an error, none begins any more."""
    running: dict[Future, Path] = {}
    pages: dict[Future, Path] = {}
    started, done, failed = {}, set(), False
    needs = {notebook: _needs(notebook) & {other.stem for other in plan} for notebook in plan}
    # What the most others wait for goes first.
    waiting = sorted(plan, key=lambda notebook: -sum(notebook.stem in others for others in needs.values()))
    # Fresh processes: a fork of one that has loaded a framework may hang. One more of them, so that the pages are
    # written while the next notebooks run.
    with ProcessPoolExecutor(jobs + 1, get_context("spawn")) as pool:
        while running or (waiting and not failed):
            ready = [] if failed else [notebook for notebook in waiting if needs[notebook] <= done]
            if not running and not ready:
                raise UserError(f"these notebooks wait for each other: {', '.join(book.stem for book in waiting)}")
            for notebook in ready[: jobs - len(running)]:
                waiting.remove(notebook)
                running[pool.submit(_run_one, notebook, out, plan[notebook])] = notebook
                started[notebook] = time.perf_counter()
            bar.set_description(" and ".join(sorted(notebook.stem[:2] for notebook in running.values())))
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                notebook = running.pop(future)
                try:
                    run = future.result()
                except BrokenProcessPool:
                    # The system killed one of the processes, which ends all of them.
                    seconds = round(time.perf_counter() - started[notebook], 1)
                    error = f"{notebook.stem} stopped: its process was killed, {OUT_OF_MEMORY}"
                    run = NotebookRun(notebook.stem, seconds, _all_parameters(notebook, plan[notebook]), error)
                    _tidy_file(out / notebook.name)
                try:
                    pages[pool.submit(_write_html, notebook, out)] = notebook
                except BrokenProcessPool:
                    _write_html(notebook, out)
                done.add(notebook.stem)
                failed = failed or bool(run.error)
                yield run
        for page, notebook in pages.items():
            try:
                page.result()
            except BrokenProcessPool:
                _write_html(notebook, out)


def _needs(notebook: Path) -> set[str]:
    """Return the notebooks whose results this one shows beside its own, as its metadata names them."""
    metadata = nbformat.read(notebook, as_version=4).metadata
    return set(metadata.get("fer_utils", {}).get("after", []))


def plan_run(
    profile: str, only: list[str] | None, out: Path, overrides: dict | None = None
) -> dict[Path, dict[str, object]]:
    """Return the notebooks that `run_notebooks` would execute, in order, each with the parameters it would get.

    Args:
        profile, only, overrides: as for `run_notebooks`.
        out: the absolute folder to write to.

    Raises:
        UserError: if a name is unknown, or a value is not of its parameter's type.
    """
    parameters = read_profile(profile)
    notebooks = find_notebooks(only)
    check_profile(parameters, overrides or {}, notebooks)
    overrides = {"OUTPUT_DIR": str(out / "runs"), **(overrides or {})}
    _make_paths_absolute()
    plan = {}
    for notebook in notebooks:
        values, defaults = parameters_for(notebook, parameters, overrides), notebook_parameters(notebook)
        values = {name: as_typed(name, value, defaults[name]) for name, value in values.items()}
        if "DATA" in overrides and values.get("DATA"):
            path = Path(values["DATA"]).expanduser()
            values["DATA"] = str(path.resolve()) if path.exists() else values["DATA"]
        plan[notebook] = values
    return plan


def as_typed(name: str, value, default):
    """Give a parameter's value the type of its default, since YAML reads 1e-3 as text and 2013 as a number.

    Args:
        name: of the parameter, for the error.
        value: text, as from a command line, or what YAML made of it.
        default: the notebook's own.

    Raises:
        UserError: if the value cannot be of this type.
    """
    import yaml

    kind, given = type(default), value
    with contextlib.suppress(ValueError, OverflowError, yaml.YAMLError):
        if isinstance(value, str) and kind is not str:
            value = {int: int, float: float}.get(kind, yaml.safe_load)(value)
        # For Python, true and false are numbers.
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if kind is float and is_number and math.isfinite(value):
            return float(value)
        if kind is int and is_number and value == int(value):
            return int(value)
        if kind is str and is_number:
            return str(value)
        if default is None or (kind not in (int, float) and isinstance(value, kind)):
            return value
    raise UserError(f"{name} must be {WORDS.get(kind, f'a {kind.__name__}')}, such as {default!r}, not {given!r}")


def make_folder(path: Path) -> None:
    """Create a folder, if it is not there, and see that it can be written to, before hours are spent.

    Raises:
        UserError: if it cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(f"cannot write to {path} ({error.strerror or error}): choose another folder") from error


def refresh_notebooks(only: list[str] | None = None, progress: bool = True) -> None:
    """Execute the committed notebooks in place with their own defaults and tidy their outputs.

    Raises:
        NotebookFailed: at the first cell that raises, or if a kernel dies; that notebook is left as it was.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    _make_paths_absolute()
    for notebook in tqdm(find_notebooks(only), "refreshing", unit="notebook", disable=not progress):
        content = nbformat.read(notebook, as_version=4)
        # What this notebook left behind would be loaded instead of computed; what later ones did would stand in
        # its comparison before a reader has met them. Earlier notebooks' results stay: comparisons need them.
        for folder in (notebook_folder().parent / "runs" / "notebooks").glob("[0-9][0-9]_*"):
            if folder.name[:2] >= notebook.stem[:2]:
                shutil.rmtree(folder)
        client = NotebookClient(
            content, timeout=None, resources={"metadata": {"path": str(notebook.parent)}}, shutdown_kernel=AT_THE_END
        )
        try:
            client.execute()
        except CellExecutionError as error:
            raise NotebookFailed(f"{notebook.name}\n{error}") from error
        except Exception as error:
            raise NotebookFailed(_why_it_stopped(notebook, error)) from error
        nbformat.write(tidy(content), notebook)


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove from an executed notebook what no reader wants, and return it.

    Widget state (an uploaded face can hide in it), progress bars, stderr, timings of cells and papermill's
    own notes go; carriage returns are carried out, so that a line that was overwritten is gone.
    """
    notebook.metadata.pop("widgets", None)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if cell.cell_type != "code":
            continue
        outputs = []
        for output in cell.outputs:
            if WIDGET_VIEW in output.get("data", {}) or output.get("name") == "stderr":
                continue
            if output.output_type == "stream":
                output.text = _as_shown(output.text)
                if not output.text.strip():
                    continue
            outputs.append(output)
        cell.outputs = outputs
    return notebook


def _as_shown(text: str) -> str:
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))


def _make_paths_absolute() -> None:
    """Make the paths in the environment hold inside the kernels."""
    for name in PATH_VARIABLES:
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().resolve())


def _run_one(notebook: Path, out: Path, parameters: dict) -> NotebookRun:
    from papermill.exceptions import PapermillExecutionError

    target = out / notebook.name
    started, error = time.perf_counter(), ""
    try:
        try:
            _execute(notebook, target, parameters)
        except RuntimeError as failure:
            # Bare, it is a kernel that did not start: two that start at the same moment may choose the same port.
            if type(failure) is not RuntimeError:
                raise
            _execute(notebook, target, parameters)
    except PapermillExecutionError as failure:
        lines = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(failure.traceback))
        error = f"{notebook.name} stopped in cell {failure.exec_count}:\n{failure.source}\n\n{lines}"
    # Whatever it was, the notebooks before it have a report to come.
    except Exception as failure:
        error = _why_it_stopped(notebook, failure)
    seconds = round(time.perf_counter() - started, 1)
    _tidy_file(target)
    return NotebookRun(notebook.stem, seconds, _all_parameters(notebook, parameters), error)


def _tidy_file(notebook: Path) -> None:
    # One that is not there, or only in part, is replaced when its page is written.
    with contextlib.suppress(OSError, ValueError):
        nbformat.write(tidy(nbformat.read(notebook, as_version=4)), notebook)


def _all_parameters(notebook: Path, chosen: dict) -> dict:
    return {**notebook_parameters(notebook), **chosen}


def _why_it_stopped(notebook: Path, error: Exception) -> str:
    """Say what ended a notebook that no cell of it explains."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    if isinstance(error, DeadKernelError):
        return f"{notebook.stem} stopped: the kernel died, {OUT_OF_MEMORY}"
    if isinstance(error, CellTimeoutError):
        return f"{notebook.stem} stopped: a cell took longer than {CELL_TIMEOUT_SECONDS // 3600} hours"
    lines = "".join(traceback.format_exception(error))
    return f"{notebook.stem} stopped: {type(error).__name__}: {error}\n\n{lines}"


def _execute(notebook: Path, target: Path, parameters: dict) -> None:
    import papermill

    papermill.execute_notebook(
        notebook, target, parameters, cwd=notebook.parent, progress_bar=False, kernel_name="python3",
        log_output=False, request_save_on_cell_execute=True, execution_timeout=CELL_TIMEOUT_SECONDS,
        shutdown_kernel=AT_THE_END,
    )  # fmt: skip


def _write_html(notebook: Path, out: Path) -> None:
    """Write a notebook, as it was executed, as a page into the same folder."""
    from nbconvert import HTMLExporter

    target = out / notebook.name
    try:
        content = nbformat.read(target, as_version=4)
    except (OSError, ValueError):
        # It stopped before its first cell, or while it was being saved.
        shutil.copyfile(notebook, target)
        content = nbformat.read(target, as_version=4)
    html, _ = HTMLExporter().from_notebook_node(content, {"metadata": {"name": notebook.stem}})
    target.with_suffix(".html").write_text(html, encoding="utf-8")


def earlier_runs(out: Path) -> dict[str, NotebookRun]:
    """Return what already ran into this folder, so that `--only 05` completes a report instead of replacing it."""
    try:
        rows = json.loads((out / RUN_FILE).read_text(encoding="utf-8"))
        return {row["notebook"]: NotebookRun(**row) for row in rows}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _lock(out: Path) -> filelock.BaseFileLock:
    """Return the lock of a folder that several commands may be writing into."""
    return filelock.FileLock(out / f".{RUN_FILE}.lock")


def _save_run(out: Path, run: NotebookRun) -> None:
    """Add one entry to run.json, beside those that another command has added in the meantime."""
    with _lock(out):
        done = {**earlier_runs(out), run.notebook: run}
        rows = [asdict(done[name]) for name in sorted(done)]
        # Under another name first: a sweep reads this file without waiting.
        building = out / f"{RUN_FILE}.building"
        building.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        building.replace(out / RUN_FILE)


def parse_overrides(items: list[str]) -> dict[str, str]:
    """Turn ["EPOCHS=2", "DATA=../x.zip"] into parameters, all of them text; `as_typed` makes of it what it stands for.

    Raises:
        UserError: if an item has no `=`.
    """
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"'{item}' is not NAME=VALUE, for example EPOCHS=2")
        found[name.strip()] = value.strip()
    return found
