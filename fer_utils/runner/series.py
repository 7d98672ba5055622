"""Running the notebooks without a browser: papermill, a progress bar, a folder a teacher can open."""

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import filelock
import nbformat
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.common.files import write_text
from fer_utils.runner.execute import OUT_OF_MEMORY, NotebookRun, all_parameters, leave, run_one, take_part
from fer_utils.runner.profiles import (
    check_profile,
    find_notebooks,
    notebook_folder,
    notebook_parameters,
    parameters_for,
    read_profile,
    require_parameters,
)
from fer_utils.runner.report import write_report
from fer_utils.runner.values import as_typed

RUN_FILE = "run.json"

# Each may be given relative to where the command is; the kernels work in notebooks/.
PATH_VARIABLES = ("FER_DATA", "FER_CACHE", "FER_FLAGGED")


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
        jobs: notebooks that run at the same time; one that compares itself with others waits for their results.

    Returns:
        The path of index.html.

    Raises:
        UserError: if a name is unknown, a value does not fit or `out` cannot be written to; nothing has run then.
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
        yield run
        if run.error:
            return


def _run_side_by_side(plan: dict[Path, dict], out: Path, jobs: int, bar: tqdm) -> Iterator[NotebookRun]:
    """Run notebooks in processes of their own and yield them as they end; after an error, none begins any more.

    In two waves: those that show others' results beside their own begin when the first wave has ended, and one that
    needs another of the second wave waits for it before its cell tagged "needs-others". Since they begin in their
    order and wait for earlier ones only, none waits in vain.
    """
    needs = {notebook: compared_with(notebook) & {other.stem for other in plan} for notebook in plan}
    waves = [[notebook for notebook in plan if bool(needs[notebook]) is later] for later in (False, True)]
    # Fresh processes: a fork of one that has loaded a framework may hang.
    context = get_context("spawn")
    ended = {notebook.stem: context.Event() for notebook in waves[1]}
    with ProcessPoolExecutor(jobs, context, take_part, (ended, jobs)) as pool:
        for wave in waves:
            waiting, running, failed = list(wave), {}, False
            while waiting or running:
                while waiting and len(running) < jobs:
                    notebook = waiting.pop(0)
                    others = [other.stem for other in wave[: wave.index(notebook)] if other.stem in needs[notebook]]
                    future = pool.submit(run_one, notebook, out, plan[notebook], others)
                    running[future] = notebook, time.perf_counter()
                bar.set_description(" and ".join(sorted(notebook.stem[:2] for notebook, _ in running.values())))
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    notebook, started = running.pop(future)
                    try:
                        run = future.result()
                    except BrokenProcessPool:
                        run = _killed(notebook, out, plan[notebook], time.perf_counter() - started)
                    yield run
                    if run.error:
                        waiting, failed = [], True
            if failed:
                return


def _killed(notebook: Path, out: Path, values: dict, seconds: float) -> NotebookRun:
    """Leave what there is of a notebook whose process the system killed, which ends all of them."""
    with contextlib.suppress(OSError):
        leave(notebook, out)
    error = f"{notebook.stem} stopped: its process was killed, {OUT_OF_MEMORY}"
    return NotebookRun(notebook.stem, round(seconds, 1), all_parameters(notebook, values), error)


def compared_with(notebook: Path) -> set[str]:
    """Return the notebooks whose results this one shows beside its own, as its metadata names them."""
    metadata = nbformat.read(notebook, as_version=4).metadata
    return set(metadata.get("fer_utils", {}).get("after", []))


def plan_run(
    profile: str, only: list[str] | None, out: Path, overrides: dict | None = None
) -> dict[Path, dict[str, object]]:
    """Return the notebooks that `run_notebooks` would execute, in order, each with the parameters it would get.

    Raises:
        UserError: if a name is unknown, or a value is not of its parameter's type.
    """
    parameters, notebooks, overrides = read_profile(profile), find_notebooks(only), overrides or {}
    check_profile(parameters)
    require_parameters(overrides, notebooks)
    make_paths_absolute()
    plan = {}
    for notebook in notebooks:
        values = parameters_for(notebook, parameters, {"OUTPUT_DIR": str(out / "runs"), **overrides})
        defaults = notebook_parameters(notebook)
        values = {name: as_typed(name, value, defaults[name]) for name, value in values.items()}
        # From where the command is; the kernels work in notebooks/. "sample" is no path.
        if values.get("DATA") and "DATA" in overrides:
            path = Path(values["DATA"]).expanduser()
            values["DATA"] = str(path.resolve()) if path.exists() else values["DATA"]
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


def make_paths_absolute() -> None:
    """Make the paths in the environment hold inside the kernels."""
    for name in PATH_VARIABLES:
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().resolve())


def earlier_runs(out: Path) -> dict[str, NotebookRun]:
    """Return what already ran into this folder, so that `--only 05` completes a report instead of replacing it."""
    try:
        runs = [NotebookRun(**row) for row in json.loads((out / RUN_FILE).read_text(encoding="utf-8"))]
        for run in runs:
            # What a report makes of them.
            f"{run.notebook.strip()}{run.seconds:.0f}{run.error.strip()}{run.parameters.items()}"
        return {run.notebook: run for run in runs}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        print(f"fer: {out / RUN_FILE} is damaged ({error}): what it knew of earlier runs is lost", file=sys.stderr)
        return {}


def _lock(out: Path) -> filelock.BaseFileLock:
    """Return the lock of a folder that several commands may be writing into."""
    return filelock.FileLock(out / f".{RUN_FILE}.lock")


def _save_run(out: Path, run: NotebookRun) -> None:
    """Add one entry to run.json, beside those that another command has added in the meantime."""
    with _lock(out):
        done = {**earlier_runs(out), run.notebook: run}
        rows = [asdict(done[name]) for name in sorted(done)]
        write_text(out / RUN_FILE, json.dumps(rows, indent=1))
