"""The worked solutions, the exercise notebooks made from them, and what the checks say to wrong answers."""

import ast
import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
import yaml
from IPython.display import display
from nbclient import NotebookClient

from fer_utils.common.exercises import NotYet
from workshop.exercises import TO_WRITE_IN_CODE, exercise_from, exercise_of

pytest.importorskip("nbgrader", reason="nbgrader makes the exercise notebooks: pip install -e '.[teach]'")

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
EMPTY_CELL = ""
MARKED = re.compile(rf"^( *){BEGIN}\n.*?^ *{END}", flags=re.S | re.M)


def exercises(solution) -> list[tuple]:
    """Return the cells of each exercise: (its answer, its check, its question for an answer in words)."""
    marked = [cell for cell in solution.cells if "nbgrader" in cell.metadata]
    assert len(marked) % 3 == 0, "each exercise has an answer, a check and a question for an answer in words"
    return list(zip(marked[::3], marked[1::3], marked[2::3], strict=True))


def wrong_answers(path) -> dict[str, list[dict]]:
    listed = Path(__file__).parent / "wrong_answers" / f"{path.stem}.yaml"
    return yaml.safe_load(listed.read_text(encoding="utf-8"))


def with_answer(source: str, answer: str) -> str:
    """Return an answer's cell with something else between the markers of its solution."""

    def instead(found):
        return "\n".join(found[1] + line for line in answer.rstrip().split("\n"))

    changed, n = MARKED.subn(instead, source)
    assert n == 1
    return changed


def says_right(check) -> bool:
    return "".join(output.get("text", "") for output in check.outputs).endswith("Right.\n")


def run(source: str, names: dict) -> None:
    exec(compile(source, "<cell>", "exec"), names)
    plt.close("all")


def test_each_exercise_is_task_answer_check_and_question(solution):
    found = exercises(solution)
    headings = [c.source.split("\n")[0] for c in solution.cells if c.source.startswith("## Exercise ")]
    assert 4 <= len(found) == len(headings) <= 6
    for number, (heading, (answer, check, words)) in enumerate(zip(headings, found, strict=True), start=1):
        assert heading.startswith(f"## Exercise {number} · ")
        assert check.source.startswith(f"# Check {number}: run this cell\n") and "with check(" in check.source
        assert BEGIN in answer.source and END in answer.source
        assert words.source.startswith("**In your words:** ") and "<!-- BEGIN SOLUTION -->" in words.source
        assert answer.id + "-words" == words.id and "check-" + answer.id == check.id
        assert solution.cells.index(check) == solution.cells.index(answer) + 1, "a check follows its answer at once"
        for cell, grade, answered in ((answer, False, True), (check, True, False), (words, True, True)):
            kept = cell.metadata.nbgrader
            assert (kept.grade_id, kept.grade, kept.solution, kept.locked) == (cell.id, grade, answered, not answered)
    assert "(warm-up)" in headings[0] and "(open)" in headings[-1]


def test_the_exercise_notebook_is_the_one_made_from_the_solution(path, solution):
    made = nbformat.writes(exercise_from(solution))
    kept = exercise_of(path).read_text(encoding="utf-8")
    assert kept.rstrip() == made.rstrip(), "they drifted apart: change the solution, then 'make exercises'"


def test_the_exercise_notebook_gives_nothing_away(path, solution):
    made = nbformat.read(exercise_of(path), as_version=4)
    assert "SOLUTION" not in nbformat.writes(made)
    for cell in made.cells:
        assert not cell.get("outputs") and not cell.get("execution_count")
        if cell.cell_type == "code":
            ast.parse(cell.source)
    assert sum(TO_WRITE_IN_CODE in cell.source for cell in made.cells) == len(exercises(solution))


def test_every_check_passes_when_the_solution_is_executed(path, solution):
    executed = nbformat.from_dict(solution)
    NotebookClient(executed, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert all(says_right(check) for _, check, _ in exercises(executed))


def test_the_committed_solution_shows_every_check_passing(solution):
    code = [cell for cell in solution.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(says_right(check) for _, check, _ in exercises(solution))


def test_each_check_refuses_no_answer_and_plausible_wrong_ones(path, solution):
    """All cells run once in one place; before an answer's cell, whatever else might stand in it gets its turn."""
    listed, names = wrong_answers(path), {"display": display}
    checks = {answer.id: check.source for answer, check, _ in exercises(solution)}
    assert set(listed) == set(checks)
    for cell in solution.cells:
        if cell.id in listed:
            wrong = [(with_answer(cell.source, entry["answer"]), entry["says"]) for entry in listed[cell.id]]
            assert len(wrong) >= 2, f"{cell.id}: at least two wrong answers"
            unwritten = [(with_answer(cell.source, TO_WRITE_IN_CODE), ""), (EMPTY_CELL, "has no value")]
            for source, says in unwritten + wrong:
                tried = dict(names)
                run(source, tried)
                with pytest.raises(NotYet) as refusal:
                    run(checks[cell.id], tried)
                assert re.search(says, str(refusal.value), flags=re.S), f"{cell.id}: {source}\n{refusal.value}"
        if cell.cell_type == "code":
            run(cell.source, names)


def test_an_unanswered_notebook_stops_at_checks_only(path):
    """Whoever runs all cells, or leaves an exercise out, must not meet an error that no check explains."""
    names = {"display": display}
    for cell in nbformat.read(exercise_of(path), as_version=4).cells:
        if cell.cell_type == "code" and cell.id.startswith("check-"):
            with pytest.raises(NotYet):
                run(cell.source, names)
        elif cell.cell_type == "code":
            run(cell.source, names)


def test_house_style(path, solution):
    nbformat.validate(solution)
    text = nbformat.writes(solution)
    assert len(text) < 500_000 and "widgets" not in solution.metadata
    assert not re.search(r"/home/|/Users/|/tmp/|index-url|sys\.path", text) and str(Path.home()) not in text
    assert all(re.fullmatch(r"[a-z][a-z0-9-]{2,40}", cell.id) for cell in solution.cells)
    prose = "\n\n".join(cell.source for cell in solution.cells if cell.cell_type == "markdown")
    assert re.findall(r"\d+\.\d+ ?%", prose) == [], "a figure that code should have printed"
    for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", prose):
        assert (path.parent / link).exists() and (exercise_of(path).parent / link).exists(), link
    for cell in solution.cells:
        if cell.cell_type == "code":
            longest = max(cell.source.splitlines(), key=len)
            folded = cell.id.startswith("check-")
            assert len(longest) <= (120 if folded else 105), f"cut off in the HTML page: {longest}"
            assert all(output.get("name") != "stderr" for output in cell.outputs), cell.id
