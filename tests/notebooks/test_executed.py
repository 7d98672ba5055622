"""The six as `make notebooks` leaves them show what the committed ones show, by nbval's rules.

So they need not be executed a second time: `make test EXECUTED=runs/sample`, as `.ci/run` says it. Without `EXECUTED`,
nbval executes them itself, which `make test` does after these tests.
"""

import copy
import os
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import IPyNbFile, coalesce_streams, get_sanitize_patterns

ROOT = Path(__file__).resolve().parents[2]
SANITIZE = Path(__file__).with_name("sanitize.cfg")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def differences(session, committed: Path, executed: Path) -> list[str]:
    """Return what nbval has to say of the outputs that it is told to compare, cell by cell; nothing if all are alike.

    Args:
        session: pytest's.
        committed: the notebook whose cells carry nbval's tags.
        executed: the same notebook as papermill left it, with a cell of parameters more.
    """
    file = IPyNbFile.from_parent(session, path=committed)
    file.compare_outputs = False  # as --nbval-lax does: what is to be compared is tagged
    file.sanitize_patterns.update(get_sanitize_patterns(SANITIZE.read_text()))
    found = [
        cell
        for cell in nbformat.read(executed, as_version=4).cells
        if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", [])
    ]
    told = []
    for cell, other in zip(file.collect(), found, strict=True):
        assert cell.cell.source == other.source, f"{executed} was executed before {committed.name} changed"
        if not cell.options["check"]:
            continue
        ours, theirs = (coalesce_streams(copy.deepcopy(each.outputs)) for each in (other, cell.cell))
        if not cell.compare_outputs(ours, theirs):
            told.append(f"{cell.name}:\n{cell.cell.source}\n" + "\n".join(cell.comparison_traceback))
    return told


@pytest.mark.parametrize("committed", NOTEBOOKS, ids=lambda path: path.name)
def test_the_run_of_the_series_shows_what_is_committed(committed, request):
    folder = os.environ.get("EXECUTED")
    if not folder:
        pytest.skip("no EXECUTED=runs/sample is given: nbval executes the notebooks itself")
    assert differences(request.session, committed, ROOT / folder / committed.name) == []


def test_a_number_that_changed_is_found_and_seconds_are_let_pass(request, tmp_path):
    notebook = nbformat.v4.new_notebook()
    for tags, text in ((["nbval-check-output"], "accuracy 0.5 after 3.1 s"), ([], "0.1"), (["parameters"], "")):
        output = nbformat.v4.new_output("stream", name="stdout", text=text)
        notebook.cells.append(
            nbformat.v4.new_code_cell("print(1)", outputs=[output], execution_count=1, metadata={"tags": tags})
        )
    nbformat.write(notebook, tmp_path / "committed.ipynb")
    notebook.cells.append(nbformat.v4.new_code_cell("SEED = 1", metadata={"tags": ["injected-parameters"]}))
    for text, found in (("accuracy 0.5 after 2.9 s", 0), ("accuracy 0.6 after 3.1 s", 1)):
        notebook.cells[0].outputs[0].text = text
        notebook.cells[1].outputs[0].text = "another, which is not compared"
        nbformat.write(notebook, tmp_path / "executed.ipynb")
        assert len(differences(request.session, tmp_path / "committed.ipynb", tmp_path / "executed.ipynb")) == found
