"""Executing one notebook with papermill, and leaving it with its page.

A process that runs notebooks beside others imports this and little else.
"""

import os
import re
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

from fer_utils.common.files import write_text
from fer_utils.runner.profiles import notebook_parameters
from fer_utils.runner.tidy import tidy, write_notebook

CELL_TIMEOUT_SECONDS = 48 * 3600

# Everything is written when the last cell ends; a kernel with TensorFlow in it takes two seconds to take itself apart.
AT_THE_END = "immediate"

# The first cell that reads what other notebooks left carries it; the cells before need not wait for them.
NEEDS_OTHERS = "needs-others"
# nbconvert's own page leaves out the alternative text that a picture's output carries.
PAGE = """{% extends 'index.html.j2' %}
{% block data_png scoped %}<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}"><img
alt="{{ (output | get_metadata('alt', 'image/png') or 'a figure made by the code above') | escape_html }}"
src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"></div>{% endblock data_png %}"""

OUT_OF_MEMORY = "often for lack of memory: lower BATCH_SIZE or --jobs"

_ended = {}

"""In a process that runs notebooks side by side: for each notebook, the event of its having ended."""


def take_part(ended: dict, jobs: int) -> None:
    """Prepare a process that runs notebooks beside others.

    Args:
        ended: for each notebook, a multiprocessing Event.
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


def run_one(notebook: Path, out: Path, parameters: dict, others: Sequence[str] = ()) -> NotebookRun:
    """Execute one notebook and leave it, tidied, with its page in a folder; an error is part of what comes back.

    Args:
        notebook: the file to execute, which is not touched.
        out: the folder to write to.
        parameters: what differs from the notebook's own.
        others: names of notebooks that run beside it and must have ended before its cell tagged "needs-others".
    """
    started = time.perf_counter()
    # papermill writes after every cell; what an earlier run left stays until this one has ended.
    working = out / f"{notebook.stem}.part.ipynb"
    working.unlink(missing_ok=True)
    error = _execute(notebook, working, parameters, _waiting_for(others))
    try:
        leave(notebook, out)
    except OSError as failure:
        error = error or why_it_stopped(notebook, failure)
    finally:
        if notebook.stem in _ended:
            _ended[notebook.stem].set()
    return NotebookRun(
        notebook.stem, round(time.perf_counter() - started, 1), all_parameters(notebook, parameters), error
    )


def all_parameters(notebook: Path, chosen: dict) -> dict:
    """Return a notebook's own parameters with those chosen for a run in their places."""
    return {**notebook_parameters(notebook), **chosen}


def _waiting_for(others: Sequence[str]) -> Callable:
    """Return what is called before each cell: it waits, before the first that needs them, until the others ended."""

    def before_cell(cell, cell_index):
        if NEEDS_OTHERS in cell.metadata.get("tags", ()):
            for other in others:
                _ended[other].wait()

    return before_cell


def _execute(notebook: Path, target: Path, parameters: dict, before_cell: Callable) -> str:
    """Execute a notebook into a file and return the error that stopped it; "" if none did."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    options = {"cwd": notebook.parent, "progress_bar": False, "kernel_name": "python3", "log_output": False}
    options |= {"execution_timeout": CELL_TIMEOUT_SECONDS, "shutdown_kernel": AT_THE_END, "on_cell_start": before_cell}
    for last in (False, True):
        try:
            papermill.execute_notebook(notebook, target, parameters, **options)
            return ""
        except PapermillExecutionError as failure:
            lines = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(failure.traceback))
            return f"{notebook.name} stopped in cell {failure.exec_count}:\n{failure.source}\n\n{lines}"
        # Whatever it was, the notebooks before it have a report to come.
        except Exception as failure:
            # Bare, it is a kernel that did not start: two that start at the same moment may choose the same port.
            if last or type(failure) is not RuntimeError:
                return why_it_stopped(notebook, failure)


def why_it_stopped(notebook: Path, error: Exception) -> str:
    """Say what ended a notebook that no cell of it explains."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    if isinstance(error, DeadKernelError):
        return f"{notebook.stem} stopped: the kernel died, {OUT_OF_MEMORY}"
    if isinstance(error, CellTimeoutError):
        return f"{notebook.stem} stopped: a cell took longer than {CELL_TIMEOUT_SECONDS // 3600} hours"
    lines = "".join(traceback.format_exception(error))
    return f"{notebook.stem} stopped: {type(error).__name__}: {error}\n\n{lines}"


def leave(notebook: Path, out: Path) -> None:
    """Leave a notebook, as far as it was executed, tidied and with its page in a folder.

    Raises:
        OSError: naming the file that could not be written.
    """
    from nbconvert import HTMLExporter

    working = out / f"{notebook.stem}.part.ipynb"
    try:
        content = tidy(nbformat.read(working, as_version=4))
    except (OSError, ValueError):
        # It stopped before its first cell, or while it was being saved.
        content = nbformat.read(notebook, as_version=4)
    working.unlink(missing_ok=True)
    write_notebook(content, out / notebook.name)
    html, _ = HTMLExporter(raw_template=PAGE).from_notebook_node(content, {"metadata": {"name": notebook.stem}})
    write_text(out / f"{notebook.stem}.html", html)
