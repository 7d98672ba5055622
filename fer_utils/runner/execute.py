"""Executing one notebook with papermill, and tidying and showing what came out.

A process that runs notebooks beside others imports this and little else.
"""

import os
import re
import shutil
import time
import traceback
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path

import nbformat

from fer_utils.runner.profiles import notebook_parameters
from fer_utils.runner.tidy import tidy_file

CELL_TIMEOUT_SECONDS = 48 * 3600

# Everything is written when the last cell ends; a kernel with TensorFlow in it takes two seconds to take itself apart.
AT_THE_END = "immediate"

# The first cell that reads what other notebooks left carries it; the cells before need not wait for them.
NEEDS_OTHERS = "needs-others"

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
        notebook,
        target,
        parameters,
        cwd=notebook.parent,
        progress_bar=False,
        kernel_name="python3",
        log_output=False,
        request_save_on_cell_execute=True,
        execution_timeout=CELL_TIMEOUT_SECONDS,
        shutdown_kernel=AT_THE_END,
        on_cell_start=before_cell,
    )


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
