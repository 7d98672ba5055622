"""Running the notebooks without a browser: papermill, a progress bar, a folder a teacher can open."""

import json
import os
import re
import shutil
import time
from dataclasses import asdict, dataclass
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

    Returns:
        The path of index.html.

    Raises:
        UserError: if a name is unknown. Nothing has run then.
        NotebookFailed: at the first cell that raises; what ran before is kept and reported.
    """
    out = (Path(out) if out else notebook_folder().parent / "runs" / profile).resolve()
    plan = plan_run(profile, only, out, overrides)
    (out / "runs").mkdir(parents=True, exist_ok=True)
    done = earlier_runs(out)
    with tqdm(total=len(plan), desc="notebooks", unit="notebook", disable=not progress) as bar:
        for notebook, values in plan.items():
            bar.set_description(notebook.stem)
            run = _run_one(notebook, out, values, bar if progress else None)
            done[notebook.stem] = run
            _save_runs(out, done)
            bar.update()
            if run.error:
                write_report(out, profile, list(done.values()))
                raise NotebookFailed(run.error)
    return write_report(out, profile, list(done.values()))


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


def _run_one(notebook: Path, out: Path, parameters: dict, bar) -> NotebookRun:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    target = out / notebook.name
    started, error = time.perf_counter(), ""
    try:
        papermill.execute_notebook(
            notebook, target, parameters, cwd=notebook.parent, progress_bar=False, kernel_name="python3",
            log_output=False, request_save_on_cell_execute=True, execution_timeout=CELL_TIMEOUT_SECONDS,
        )  # fmt: skip
    except PapermillExecutionError as failure:
        traceback = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(failure.traceback))
        error = f"{notebook.name} stopped in cell {failure.exec_count}:\n{failure.source}\n\n{traceback}"
    seconds = round(time.perf_counter() - started, 1)
    if bar is not None:
        bar.set_postfix_str(f"{seconds:.0f} s")
    content = tidy(nbformat.read(target, as_version=4))
    nbformat.write(content, target)
    _write_html(content, target.with_suffix(".html"))
    return NotebookRun(notebook.stem, seconds, {**notebook_parameters(notebook), **parameters}, error)


def _write_html(content: nbformat.NotebookNode, path: Path) -> None:
    from nbconvert import HTMLExporter

    exporter = HTMLExporter()
    html, _ = exporter.from_notebook_node(content, {"metadata": {"name": path.stem}})
    path.write_text(html, encoding="utf-8")


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
