"""A notebook as it should be committed: no widget state, no times, no addresses in memory."""

import re
from pathlib import Path

import nbformat

from fer_utils.common.files import write_text

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

# How pandas names the parts of a styled table, by chance, and where an object without a name of its own lay in memory.
STYLED_TABLE = re.compile(r"\bT_[0-9a-f]{5}(?=[\s\"_])")

ADDRESS = re.compile(r" at 0x[0-9a-f]+>")


def write_notebook(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook so that it is whole or as it was before."""
    write_text(path, nbformat.writes(notebook) + "\n")


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
