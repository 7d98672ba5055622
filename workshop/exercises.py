"""The command `python -m workshop.exercises`: nbgrader makes notebooks/exercises from notebooks/solutions.

A solution marks what a student has to write by nbgrader's own markers and metadata, so a teacher can also hand it to
`nbgrader generate_assignment` as it is. Here nbgrader's steps run without a course and its database.
"""

import sys
from pathlib import Path
from typing import Annotated

import nbformat
import typer
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from traitlets.config import Config

from fer_utils.common.errors import UserError, WentWrong
from fer_utils.common.paths import shown
from fer_utils.runner.profiles import notebook_folder
from fer_utils.runner.tidy import tidy

TO_WRITE_IN_CODE = "# Write your code here."
TO_WRITE_IN_WORDS = "*Write your answer here: double-click this cell.*"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    only: Annotated[list[str] | None, typer.Option(help="Notebooks whose names begin so, such as 03.")] = None,
    execute: Annotated[
        bool, typer.Option(help="Execute the solutions in place first, to renew their outputs.")
    ] = False,
) -> None:
    """Make the exercise notebooks from the worked solutions."""
    chosen = find_solutions(only)
    for path in chosen if execute else ():
        execute_in_place(path)
    # Nothing is written before all of them are known to be free to write.
    made = {exercise_of(path): exercise_from(nbformat.read(path, as_version=4)) for path in chosen}
    for path in made:
        if holds_work(path):
            raise UserError(f"{shown(path)} holds somebody's answers: move it to another place first")
    for path, notebook in made.items():
        write(notebook, path)
        typer.echo(shown(path))


def find_solutions(only: list[str] | None = None) -> list[Path]:
    """Return the worked solutions in order, or those whose names begin with one of `only`.

    Raises:
        UserError: if there are none.
    """
    known = sorted((notebook_folder() / "solutions").glob("*.ipynb"))
    chosen = [path for path in known if not only or path.stem.startswith(tuple(only))]
    if not chosen:
        raise UserError(f"no solution begins so: choose from {', '.join(path.stem for path in known)}")
    return chosen


def exercise_of(solution: Path) -> Path:
    """Return where the exercise notebook of a solution lies."""
    return solution.parents[1] / "exercises" / solution.name


def exercise_from(solution: NotebookNode) -> NotebookNode:
    """Return the notebook that students get: nbgrader's steps of `generate_assignment`, less those of its database.

    Answers become a line that asks for one, outputs go, checks are locked; the solution itself stays as it is.

    Raises:
        ValidationError: nbgrader's, if its metadata does not fit the cells.
        RuntimeError: nbgrader's, if a marker of a solution is missing or misplaced.
    """
    try:
        from nbgrader import preprocessors as nbgrader
    except ImportError as error:
        raise UserError("nbgrader makes the exercise notebooks: pip install -e '.[teach]'") from error
    config = Config()
    config.ClearSolutions.code_stub = {"python": TO_WRITE_IN_CODE}
    config.ClearSolutions.text_stub = TO_WRITE_IN_WORDS
    notebook, resources = nbformat.from_dict(solution), {}
    for step in (
        nbgrader.LockCells, nbgrader.ClearSolutions, nbgrader.ClearOutput, nbgrader.ClearHiddenTests,
        nbgrader.ClearMarkScheme, nbgrader.ComputeChecksums, nbgrader.CheckCellMetadata,
    ):  # fmt: skip
        notebook, resources = step(config=config).preprocess(notebook, resources)
    return notebook


def holds_work(exercise: Path) -> bool:
    """Say whether somebody has written into an exercise notebook, or executed it."""
    if not exercise.exists():
        return False
    cells = nbformat.read(exercise, as_version=4).cells
    answers = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("solution")]
    unwritten = all(TO_WRITE_IN_CODE in cell.source or TO_WRITE_IN_WORDS in cell.source for cell in answers)
    return not unwritten or any(cell.get("execution_count") for cell in cells)


def execute_in_place(notebook: Path) -> None:
    """Execute a notebook and write it back with its tidied outputs.

    Raises:
        WentWrong: at the first cell that raises; the file stays as it was then.
    """
    content = nbformat.read(notebook, as_version=4)
    try:
        where = {"metadata": {"path": str(notebook.parent)}}
        NotebookClient(content, timeout=600, resources=where, coalesce_streams=True).execute()
    except CellExecutionError as error:
        raise WentWrong(f"{notebook.name} stopped: {error}") from error
    write(tidy(content), notebook)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook in one go, so that a stop leaves the file that was there."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    nbformat.write(notebook, unfinished)
    unfinished.replace(path)


if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        print(f"workshop.exercises: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
