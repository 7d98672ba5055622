"""Running the notebooks without a browser: papermill, a progress bar, a folder a teacher can open."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

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
RUN_FILE = "run.json"


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
        UserError: if a name is unknown (nothing has run then), or if notebooks wait for each other.
        NotebookFailed: at the first cell that raises; what ran before is kept and reported. With several jobs, a
            notebook that is running at that moment is finished first.
    """
    out = (Path(out) if out else notebook_folder().parent / "runs" / profile).resolve()
    plan = plan_run(profile, only, out, overrides)
    (out / "runs").mkdir(parents=True, exist_ok=True)
    done = earlier_runs(out)
    with tqdm(total=len(plan), desc="notebooks", unit="notebook", disable=not progress) as bar:
        errors = []
        for run in _run_in_turn(plan, out, bar) if jobs == 1 else _run_side_by_side(plan, out, jobs, bar):
            done[run.notebook] = run
            _save_runs(out, done)
            bar.set_postfix_str(f"{run.seconds:.0f} s")
            bar.update()
            errors += [run.error] if run.error else []
    page = write_report(out, profile, [done[name] for name in sorted(done)])
    if errors:
        raise NotebookFailed(errors[0])
    return page


def _run_in_turn(plan: dict[Path, dict], out: Path, bar: tqdm) -> Iterator[NotebookRun]:
    """Run notebooks one by one and yield them as they end; the first with an error is the last."""
    for notebook, values in plan.items():
        bar.set_description(notebook.stem)
        run = _run_one(notebook, out, values)
        _write_html(out / notebook.name)
        yield run
        if run.error:
            return


def _run_side_by_side(plan: dict[Path, dict], out: Path, jobs: int, bar: tqdm) -> Iterator[NotebookRun]:
    """Run notebooks in processes of their own and yield them as they end; after an error, none begins any more."""
    running: dict[Future, Path] = {}
    pages, done, failed = [], set(), False
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
            bar.set_description(" and ".join(sorted(notebook.stem[:2] for notebook in running.values())))
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                run, notebook = future.result(), running.pop(future)
                pages.append(pool.submit(_write_html, out / notebook.name))
                done.add(notebook.stem)
                failed = failed or bool(run.error)
                yield run
        for page in pages:
            page.result()


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
        UserError: if a name is unknown.
    """
    parameters = read_profile(profile)
    notebooks = find_notebooks(only)
    overrides = _with_absolute_data(overrides or {})
    check_profile(parameters, overrides, notebooks)
    overrides = {"OUTPUT_DIR": str(out / "runs"), **overrides}
    return {notebook: parameters_for(notebook, parameters, overrides) for notebook in notebooks}


def refresh_notebooks(only: list[str] | None = None, progress: bool = True) -> None:
    """Execute the committed notebooks in place with their own defaults and tidy their outputs.

    Raises:
        NotebookFailed: at the first cell that raises; that notebook is left as it was.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    for notebook in tqdm(find_notebooks(only), "refreshing", unit="notebook", disable=not progress):
        content = nbformat.read(notebook, as_version=4)
        # What this notebook left behind would be loaded instead of computed; what later ones did would stand in
        # its comparison before a reader has met them. Earlier notebooks' results stay: comparisons need them.
        for folder in (notebook_folder().parent / "runs" / "notebooks").glob("[0-9][0-9]_*"):
            if folder.name[:2] >= notebook.stem[:2]:
                shutil.rmtree(folder)
        client = NotebookClient(content, timeout=None, resources={"metadata": {"path": str(notebook.parent)}})
        try:
            client.execute()
        except CellExecutionError as error:
            raise NotebookFailed(f"{notebook.name}\n{error}") from error
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


def _with_absolute_data(overrides: dict) -> dict:
    """Make paths that were given relative to here hold inside the kernels, which work in notebooks/."""
    if os.environ.get("FER_DATA"):
        os.environ["FER_DATA"] = str(Path(os.environ["FER_DATA"]).resolve())
    data = overrides.get("DATA")
    return {**overrides, "DATA": str(Path(data).resolve())} if data and Path(data).exists() else overrides


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
        traceback = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(failure.traceback))
        error = f"{notebook.name} stopped in cell {failure.exec_count}:\n{failure.source}\n\n{traceback}"
    seconds = round(time.perf_counter() - started, 1)
    nbformat.write(tidy(nbformat.read(target, as_version=4)), target)
    return NotebookRun(notebook.stem, seconds, {**notebook_parameters(notebook), **parameters}, error)


def _execute(notebook: Path, target: Path, parameters: dict) -> None:
    import papermill

    papermill.execute_notebook(
        notebook, target, parameters, cwd=notebook.parent, progress_bar=False, kernel_name="python3",
        log_output=False, request_save_on_cell_execute=True, execution_timeout=CELL_TIMEOUT_SECONDS,
    )  # fmt: skip


def _write_html(notebook: Path) -> None:
    """Write an executed notebook as a page beside it."""
    from nbconvert import HTMLExporter

    content = nbformat.read(notebook, as_version=4)
    html, _ = HTMLExporter().from_notebook_node(content, {"metadata": {"name": notebook.stem}})
    notebook.with_suffix(".html").write_text(html, encoding="utf-8")


def earlier_runs(out: Path) -> dict[str, NotebookRun]:
    """Return what already ran into this folder, so that `--only 05` completes a report instead of replacing it."""
    try:
        rows = json.loads((out / RUN_FILE).read_text(encoding="utf-8"))
        return {row["notebook"]: NotebookRun(**row) for row in rows}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _save_runs(out: Path, done: dict[str, NotebookRun]) -> None:
    rows = [asdict(done[name]) for name in sorted(done)]
    (out / RUN_FILE).write_text(json.dumps(rows, indent=1), encoding="utf-8")


def parse_overrides(items: list[str]) -> dict:
    """Turn ["EPOCHS=2", "DATA=../x.zip"] into parameters; values are read as YAML, so that 2 is a number.

    Raises:
        UserError: if an item has no `=`.
    """
    import yaml

    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"'{item}' is not NAME=VALUE, for example EPOCHS=2")
        found[name.strip()] = yaml.safe_load(value) if value else ""
    return found
