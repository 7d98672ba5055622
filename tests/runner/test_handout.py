"""Copies of the notebooks without results."""

import nbformat
import pytest
from typer.testing import CliRunner

from fer_utils.cli.main import app
from fer_utils.common.errors import UserError
from fer_utils.runner.handout import write_handout
from fer_utils.runner.profiles import find_notebooks


def test_a_handout_has_every_cell_and_no_result(tmp_path):
    originals = find_notebooks(appendix=True)
    before = [path.read_bytes() for path in originals]
    copies = write_handout(tmp_path / "class" / "a")
    assert [path.name for path in copies] == [path.name for path in originals]
    assert {path.parent.name for path in copies} == {"a", "appendix"}
    for original, copy in zip(originals, copies, strict=True):
        shown, handed_out = (nbformat.read(path, as_version=4) for path in (original, copy))
        assert any(cell.get("outputs") for cell in shown.cells)
        assert [cell.source for cell in handed_out.cells] == [cell.source for cell in shown.cells]
        assert handed_out.metadata == shown.metadata
        code = [cell for cell in handed_out.cells if cell.cell_type == "code"]
        assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert [path.read_bytes() for path in originals] == before


def test_a_handout_never_takes_the_place_of_somebodys_work(tmp_path):
    work = tmp_path / "02_cleaning_and_analysis.ipynb"
    work.write_text("my answers")
    with pytest.raises(UserError, match="--out"):
        write_handout(tmp_path)
    assert work.read_text() == "my answers"
    assert [path.name for path in tmp_path.iterdir()] == [work.name]


def test_the_command_writes_the_chosen_ones_and_names_them(tmp_path):
    answer = CliRunner().invoke(app, ["handout", "--only", "03", "--out", str(tmp_path)])
    assert answer.exit_code == 0 and answer.stdout.split("/")[-1] == "03_custom_cnn.ipynb\n"
    assert [path.name for path in tmp_path.iterdir()] == ["03_custom_cnn.ipynb"]
