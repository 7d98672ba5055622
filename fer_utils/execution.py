"""Executing one notebook with papermill, and tidying and showing what came out.

A process that runs notebooks beside others imports this and little else.
"""

import contextlib
import os
import re
import shutil
import time
import traceback
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path

from fer_utils.notebook_files import nbformat
from fer_utils.profiles import notebook_parameters

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
CELL_TIMEOUT_SECONDS = 48 * 3600
# Everything is written when the last cell ends; a kernel with TensorFlow in it takes two seconds to take itself apart.
AT_THE_END = "immediate"
# The first cell that reads what other notebooks left carries it; the cells before need not wait for them.
NEEDS_OTHERS = "needs-others"
# How pandas names the parts of a styled table, by chance, and where an object without a name of its own lay in memory.
STYLED_TABLE = re.compile(r"\bT_[0-9a-f]{5}(?=[\s\"_])")
ADDRESS = re.compile(r" at 0x[0-9a-f]+>")
OUT_OF_MEMORY = "often for lack of memory: lower BATCH_SIZE or --jobs"

_ended = {}
"""In a process that runs notebooks side by side: for each notebook, the event of its having ended."""


def take_part(ended: dict, jobs: int) -> None:
    """Prepare a process that runs notebooks beside others.

    Args:
        ended: for each notebook, a multiprocessing Event that is set when it has ended.
        jobs: how many run at the same time.
    """
    _ended.update(ended)
    share_processors(jobs)


def share_processors(jobs: int) -> None:
    """Give the kernels of this process their share of the cores, unless the environment says how many threads.

    Where each of them takes all cores, they spend much of the time on waiting for each other.
    """
    share = str(max(1, (os.cpu_count() or 1) // jobs))
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, share)


@dataclass
class NotebookRun:
    """One executed notebook: its name, seconds, parameters, and the error that stopped it, if any."""

    notebook: str
    seconds: float
    parameters: dict
    error: str = ""


class _Waiting:
    """Called before each cell: waits, before the first that needs them, until other notebooks have ended."""

    def __init__(self, others: set[str]):
        self.others, self.seconds = others, 0.0

    def __call__(self, cell, cell_index):
        if NEEDS_OTHERS in cell.metadata.get("tags", []):
            started = time.perf_counter()
            for other in sorted(self.others & set(_ended)):
                _ended[other].wait()
            self.seconds += time.perf_counter() - started


def run_one(notebook: Path, out: Path, parameters: dict, others: Set[str] = frozenset()) -> NotebookRun:
    """Execute one notebook and leave it, tidied, in a folder; an error is part of what comes back.

    Args:
        notebook: the file to execute, which is not touched.
        out: the folder to write to.
        parameters: what differs from the notebook's own.
        others: names of notebooks whose results it needs from the cell tagged "needs-others" on; those that run beside
            it, in a process that `take_part` prepared, are waited for.
    """
    from papermill.exceptions import PapermillExecutionError

    target = out / notebook.name
    started, error, waiting = time.perf_counter(), "", _Waiting(others)
    try:
        try:
            _execute(notebook, target, parameters, waiting)
        except RuntimeError as failure:
            # Bare, it is a kernel that did not start: two that start at the same moment may choose the same port.
            if type(failure) is not RuntimeError:
                raise
            _execute(notebook, target, parameters, waiting)
    except PapermillExecutionError as failure:
        lines = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(failure.traceback))
        error = f"{notebook.name} stopped in cell {failure.exec_count}:\n{failure.source}\n\n{lines}"
    # Whatever it was, the notebooks before it have a report to come.
    except Exception as failure:
        error = why_it_stopped(notebook, failure)
    # Its own time: how long the others took is theirs.
    seconds = round(time.perf_counter() - started - waiting.seconds, 1)
    tidy_file(target)
    return NotebookRun(notebook.stem, seconds, all_parameters(notebook, parameters), error)


def tidy_file(notebook: Path) -> None:
    """Tidy an executed notebook in place, as far as it is there."""
    # One that is not there, or only in part, is replaced when its page is written.
    with contextlib.suppress(OSError, ValueError):
        nbformat.write(tidy(nbformat.read(notebook, as_version=4)), notebook)


def all_parameters(notebook: Path, chosen: dict) -> dict:
    """Return a notebook's own parameters with those chosen for a run in their places."""
    return {**notebook_parameters(notebook), **chosen}


def why_it_stopped(notebook: Path, error: Exception) -> str:
    """Say what ended a notebook that no cell of it explains."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    if isinstance(error, DeadKernelError):
        return f"{notebook.stem} stopped: the kernel died, {OUT_OF_MEMORY}"
    if isinstance(error, CellTimeoutError):
        return f"{notebook.stem} stopped: a cell took longer than {CELL_TIMEOUT_SECONDS // 3600} hours"
    lines = "".join(traceback.format_exception(error))
    return f"{notebook.stem} stopped: {type(error).__name__}: {error}\n\n{lines}"


def _execute(notebook: Path, target: Path, parameters: dict, before_cell: Callable) -> None:
    import papermill

    papermill.execute_notebook(
        notebook, target, parameters, cwd=notebook.parent, progress_bar=False, kernel_name="python3",
        log_output=False, request_save_on_cell_execute=True, execution_timeout=CELL_TIMEOUT_SECONDS,
        shutdown_kernel=AT_THE_END, on_cell_start=before_cell,
    )  # fmt: skip


def write_html(notebook: Path, out: Path) -> None:
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


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove from an executed notebook what no reader wants, and return it.

    Widget state (an uploaded face can hide in it), progress bars, stderr, timings of cells and papermill's
    own notes go; carriage returns are carried out, so that a line that was overwritten is gone. What differs by chance
    from run to run and tells nobody anything goes too: addresses of objects, and names of styled tables, which are
    numbered instead. So the same results leave the same file.
    """
    tables = {}
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
            for kind, text in output.get("data", {}).items():
                if kind == "text/html":
                    output.data[kind] = STYLED_TABLE.sub(lambda found: _numbered(found[0], tables), text)
                elif kind == "text/plain":
                    output.data[kind] = ADDRESS.sub(">", text)
            outputs.append(output)
        cell.outputs = outputs
    return notebook


def _numbered(name: str, known: dict[str, str]) -> str:
    return known.setdefault(name, f"T_{len(known) + 1}")


def _as_shown(text: str) -> str:
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
