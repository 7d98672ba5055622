"""Running the notebooks without a browser: papermill, a progress bar, a folder a teacher can open."""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import filelock
import nbformat
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.runner.execute import (
    NEEDS_OTHERS,
    OUT_OF_MEMORY,
    NotebookRun,
    all_parameters,
    run_one,
    take_part,
    write_html,
)
from fer_utils.runner.profiles import (
    check_profile,
    find_notebooks,
    notebook_folder,
    notebook_parameters,
    parameters_for,
    read_profile,
)
from fer_utils.runner.report import write_report
from fer_utils.runner.tidy import tidy_file
from fer_utils.runner.values import as_typed

RUN_FILE = "run.json"

# Each may be given relative to where the command is; the kernels work in notebooks/.
PATH_VARIABLES = ("FER_DATA", "FER_CACHE", "FER_FLAGGED")

PATH_PARAMETERS = {"DATA"}


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
        only: beginnings of the notebooks' names ("03", "A1" for one of the appendix); the six of the series if None.
        out: the folder to write to; `runs/<profile>` in the project if None.
        overrides: parameters that win over the profile's.
        progress: whether to show a progress bar.
        jobs: notebooks that run at the same time. One that compares itself with others' results waits for them, before
            the cell that does if one is tagged "needs-others".

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
        run = run_one(notebook, out, values)
        write_html(notebook, out)
        yield run
        if run.error:
            return


def _run_side_by_side(plan: dict[Path, dict], out: Path, jobs: int, bar: tqdm) -> Iterator[NotebookRun]:
    """Run notebooks in processes of their own and yield them as they end; after an error, none begins any more."""
    running: dict[Future, Path] = {}
    pages: dict[Future, Path] = {}
    started, done, failed = {}, set(), False
    needs = {notebook: _needs(notebook) & {other.stem for other in plan} for notebook in plan}
    early = {notebook for notebook in plan if _begins_early(notebook)}
    # What the most others wait for goes first.
    waiting = sorted(plan, key=lambda notebook: -sum(notebook.stem in others for others in needs.values()))
    # Fresh processes: a fork of one that has loaded a framework may hang.
    context = get_context("spawn")
    ended = {notebook.stem: context.Event() for notebook in plan}
    # One more of them, so that the pages are written while the next notebooks run.
    with ProcessPoolExecutor(jobs + 1, context, take_part, (ended, jobs)) as pool:
        while running or (waiting and not failed):
            for notebook in [] if failed else _next(waiting, jobs - len(running), needs, early, done, started):
                waiting.remove(notebook)
                running[pool.submit(run_one, notebook, out, plan[notebook], needs[notebook])] = notebook
                started[notebook.stem] = time.perf_counter()
            if not running:
                raise UserError(f"these notebooks wait for each other: {', '.join(book.stem for book in waiting)}")
            bar.set_description(" and ".join(sorted(notebook.stem[:2] for notebook in running.values())))
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                notebook = running.pop(future)
                try:
                    run = future.result()
                except BrokenProcessPool:
                    # The system killed one of the processes, which ends all of them.
                    seconds = round(time.perf_counter() - started[notebook.stem], 1)
                    error = f"{notebook.stem} stopped: its process was killed, {OUT_OF_MEMORY}"
                    run = NotebookRun(notebook.stem, seconds, all_parameters(notebook, plan[notebook]), error)
                    tidy_file(out / notebook.name)
                # Also after an error: whoever waits is to go on, and finds what there is.
                ended[notebook.stem].set()
                try:
                    pages[pool.submit(write_html, notebook, out)] = notebook
                except BrokenProcessPool:
                    write_html(notebook, out)
                done.add(notebook.stem)
                failed = failed or bool(run.error)
                yield run
        for page, notebook in pages.items():
            try:
                page.result()
            except BrokenProcessPool:
                write_html(notebook, out)


def _next(waiting: list[Path], places: int, needs: dict, early: set[Path], done: set[str], started: dict) -> list[Path]:
    """Return the notebooks that begin now, at most as many as there are places.

    First those whose needs are met. One that needs others only from a later cell on may begin once they all have: then
    none of them waits for the place that it takes.
    """
    ready = [notebook for notebook in waiting if needs[notebook] <= done][:places]
    begun = set(started) | {notebook.stem for notebook in ready}
    soon = [notebook for notebook in waiting if notebook in early - set(ready) and needs[notebook] <= begun]
    return ready + soon[: places - len(ready)]


def _needs(notebook: Path) -> set[str]:
    """Return the notebooks whose results this one shows beside its own, as its metadata names them."""
    metadata = nbformat.read(notebook, as_version=4).metadata
    return set(metadata.get("fer_utils", {}).get("after", []))


def _begins_early(notebook: Path) -> bool:
    """Say whether a notebook names the cell from which on it needs others; without one it needs them from the first."""
    return any(NEEDS_OTHERS in cell.metadata.get("tags", []) for cell in nbformat.read(notebook, as_version=4).cells)


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
        for name in PATH_PARAMETERS & overrides.keys() & values.keys():
            path = Path(values[name]).expanduser()
            values[name] = str(path.resolve()) if values[name] and path.exists() else values[name]
        plan[notebook] = values
    return plan


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


def _make_paths_absolute() -> None:
    """Make the paths in the environment hold inside the kernels."""
    for name in PATH_VARIABLES:
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().resolve())


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
