"""Making exercise notebooks: nobody's answers are lost, and a teacher can collect and mark them with nbgrader."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4
from typer.testing import CliRunner

from fer_utils.common.errors import UserError
from workshop import exercises
from workshop.exercises import app, exercise_from

pytest.importorskip("nbgrader", reason="nbgrader makes the exercise notebooks: pip install -e '.[teach]'")


ANSWER = "### BEGIN SOLUTION\nhalf = 0.5\n### END SOLUTION"
CHECK = "from fer_utils.common.exercises import check, expect\nwith check('half'):\n    expect(half == 0.5, 'not half')"
WORDS = "**In your words:** why?\n\n<!-- BEGIN SOLUTION -->\nBecause.\n<!-- END SOLUTION -->"


@pytest.fixture
def solution():
    """One exercise, as small as can be."""

    def marked(cell, name, **kinds):
        kept = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
        cell.metadata = {"nbgrader": kept | {"grade_id": name} | kinds}
        cell.id = name
        return cell

    return v4.new_notebook(
        cells=[
            marked(v4.new_code_cell(ANSWER), "half", solution=True),
            marked(v4.new_code_cell(CHECK), "check-half", grade=True, locked=True, points=1),
            marked(v4.new_markdown_cell(WORDS), "half-words", grade=True, solution=True, points=1),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )


@pytest.fixture
def folder(tmp_path, monkeypatch, solution):
    (tmp_path / "solutions").mkdir()
    nbformat.write(solution, tmp_path / "solutions" / "01_dataset.ipynb")
    monkeypatch.setattr(exercises, "notebook_folder", lambda: tmp_path)
    return tmp_path


def answered(notebook, source):
    notebook = nbformat.from_dict(notebook)
    notebook.cells[0].source = source
    return notebook


def test_the_command_writes_what_nobody_has_worked_in_and_names_it(folder):
    for _ in range(2):
        found = CliRunner().invoke(app, [])
        assert found.exit_code == 0 and found.output.endswith("exercises/01_dataset.ipynb\n")
    assert [path.name for path in (folder / "exercises").iterdir()] == ["01_dataset.ipynb"]


@pytest.mark.parametrize("change", ["an answer", "executed"])
def test_the_command_never_writes_over_answers(folder, change):
    target = folder / "exercises" / "01_dataset.ipynb"
    CliRunner().invoke(app, [])
    notebook = nbformat.read(target, as_version=4)
    if change == "executed":
        notebook.cells[0].execution_count = 1
    else:
        notebook = answered(notebook, "half = 0.3")
    nbformat.write(notebook, target)
    before = target.read_bytes()
    with pytest.raises(UserError, match="holds somebody's answers: move it"):
        CliRunner().invoke(app, [], catch_exceptions=False)
    assert target.read_bytes() == before


def test_an_unknown_notebook_is_refused_with_the_names_that_exist(folder):
    with pytest.raises(UserError, match="choose from 01_dataset"):
        CliRunner().invoke(app, ["--only", "07"], catch_exceptions=False)


def test_a_teacher_can_collect_and_mark_with_nbgrader(tmp_path, solution, monkeypatch):
    """Its whole way: the solution goes in, two students hand in what was made here, points come out."""
    from nbgrader.api import Gradebook
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    monkeypatch.chdir(tmp_path)
    # nbgrader starts alembic by its name, as in an environment that is activated.
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    made = exercise_from(solution)
    handed_in = {"ada": answered(made, "half = 1 / 2"), "bob": made}
    for place, notebook in {"source": solution, **{f"submitted/{who}": handed_in[who] for who in handed_in}}.items():
        (tmp_path / place / "lesson1").mkdir(parents=True)
        nbformat.write(notebook, tmp_path / place / "lesson1" / "01_dataset.ipynb")
    config = Config()
    config.CourseDirectory.root = str(tmp_path)
    config.CourseDirectory.db_url = f"sqlite:///{tmp_path}/gradebook.db"
    nbgrader = NbGraderAPI(config=config)
    for done in (nbgrader.generate_assignment("lesson1"), *(nbgrader.autograde("lesson1", who) for who in handed_in)):
        assert done["success"], done.get("error") or done.get("log")
    with Gradebook(config.CourseDirectory.db_url) as book:
        assert {who: book.find_submission("lesson1", who).code_score for who in handed_in} == {"ada": 1, "bob": 0}
