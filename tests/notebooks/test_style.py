"""What every committed notebook must look like."""

import ast
import re
from pathlib import Path
from statistics import median

import nbformat
import numpy as np
import pytest

from fer_utils import records
from fer_utils.runner.execute import NEEDS_OTHERS
from fer_utils.runner.profiles import notebook_parameters
from fer_utils.runner.tidy import WIDGET_VIEW

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS, APPENDIX = sorted(FOLDER.glob("*.ipynb")), sorted((FOLDER / "appendix").glob("*.ipynb"))
CHECKED = "nbval-check-output"
HEADINGS = ["What you will learn", "Before you start", "How long it takes", "Recap", "Exercises"]


@pytest.fixture(params=NOTEBOOKS + APPENDIX, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def statements(notebook):
    """Yield every node of the notebook's code."""
    for cell in code_cells(notebook):
        yield from ast.walk(ast.parse(cell.source))


def prose(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_there_are_six_and_an_appendix():
    assert [path.stem[:3] for path in NOTEBOOKS] == ["01_", "02_", "03_", "04_", "05_", "06_"]
    assert [path.stem[:3] for path in APPENDIX] == [f"A{i}_" for i in range(1, len(APPENDIX) + 1)]


def test_the_last_lesson_is_one_lesson():
    """What goes deeper than the main line is the appendix's."""
    assert len(nbformat.read(NOTEBOOKS[5], as_version=4).cells) <= 65


def test_settings_are_few_and_each_of_them_is_used(path, notebook):
    settings = notebook_parameters(path)
    used = {node.id for node in statements(notebook) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert len(settings) <= 12 and set(settings) <= used, set(settings) - used


def test_nothing_is_imported_that_is_not_used(notebook):
    nodes = list(statements(notebook))
    imported = [name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for name in node.names]
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    assert [found.name for found in imported if (found.asname or found.name.split(".")[0]) not in used] == []


def test_links_lead_somewhere(path, notebook):
    for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", prose(notebook)):
        assert (path.parent / link).exists(), link


def test_valid_with_stable_readable_ids(notebook):
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][a-z0-9-]{2,40}", name) for name in ids), ids


def test_kernel_is_the_neutral_one(notebook):
    assert notebook.metadata.kernelspec.name == "python3"


def test_cells_are_small(notebook):
    lines = [len(cell.source.splitlines()) for cell in code_cells(notebook)]
    assert median(lines) <= 5
    assert np.percentile(lines, 90) <= 15
    assert max(lines) <= 25
    longest = max(len(line) for cell in code_cells(notebook) for line in cell.source.splitlines())
    assert longest <= 105, "longer lines are cut off in the HTML page"


def test_a_notebook_that_shows_others_results_says_from_which_cell_on(notebook):
    """The cells before need not wait: two minutes of a run of the series."""
    tagged = [cell for cell in code_cells(notebook) if NEEDS_OTHERS in cell.metadata.get("tags", [])]
    assert len(tagged) == bool(notebook.metadata.get("fer_utils", {}).get("after"))


def text_of(stem, cell_id):
    """Return what a cell of a committed notebook printed or showed, as text."""
    (path,) = [path for path in NOTEBOOKS if path.stem.startswith(stem)]
    (cell,) = [cell for cell in nbformat.read(path, as_version=4).cells if cell.id == cell_id]
    shown = [part.get("text") or part.data.get("text/markdown", "") for part in cell.outputs]
    return "\n".join(shown)


def test_notebook_6_shows_the_records_as_they_are_now():
    assert text_of("06", "recorded") == records.series_table(), "run 'fer refresh --only 06'"


@pytest.mark.parametrize(
    ("stem", "model", "width"),
    [("03", "custom_cnn", 0.25), ("04", "custom_cnn_augmented", 1), ("05", "vgg16", 1), ("06", "resnet50v2", 1)],
)
def test_the_reference_run_shown_is_the_recorded_one(stem, model, width):
    known = records.reference(model, width=width)
    if known is None:
        assert records.COMMANDS[model] in text_of(stem, "reference")
        return
    score = known["scores"]["PublicTest"]
    expected = f"PublicTest {score['accuracy']:.1%} "
    _, shown = text_of(stem, "reference").split("\nrecorded")
    assert expected in shown and f"\n    {known['epochs']} epochs" in shown, f"run 'fer refresh --only {stem}'"


def test_the_comparison_shown_has_a_row_for_every_notebook_that_trains():
    """A refresh on a machine that lacked the earlier runs once left a single row, and nothing else noticed."""
    notebook = nbformat.read(NOTEBOOKS[5], as_version=4)
    (shown,) = [cell.outputs[0].data["text/html"] for cell in notebook.cells if cell.id == "comparison"]
    rows = re.findall(r'class="data row\d+ col0" >([^<]+)<', shown)
    # The augmented network is a custom CNN too: its words come first.
    kinds = ("with augmentation", "Custom CNN", "VGG16", "ResNet50V2")
    assert sorted(next(kind for kind in kinds if kind in row) for row in rows) == sorted(kinds)


def test_prose_leads(notebook):
    n_prose = sum(cell.cell_type == "markdown" for cell in notebook.cells)
    assert n_prose >= 0.75 * len(code_cells(notebook))


def test_skeleton(notebook):
    headings = re.findall(r"^## (.+)$", prose(notebook), flags=re.M)
    assert [heading for heading in headings if heading in HEADINGS] == HEADINGS
    assert re.match(r"# (\d|A\d) · ", notebook.cells[0].source)
    assert "Predict first" in prose(notebook)


def test_recap_answers_the_objectives(notebook):
    def numbered(heading):
        text = prose(notebook).split(f"## {heading}")[1].split("\n## ")[0]
        return len(re.findall(r"^\d\. ", text, flags=re.M))

    assert numbered("What you will learn") == numbered("Recap") >= 4
    assert numbered("Exercises") >= 3


def test_executed_in_order_without_errors_or_stderr(notebook):
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != "error", cell.id
            assert output.get("name") != "stderr", cell.id


def test_checked_cells_have_something_to_check(notebook):
    checked = [cell for cell in code_cells(notebook) if CHECKED in cell.metadata.get("tags", ())]
    assert len(checked) >= 3
    for cell in checked:
        assert cell.outputs and cell.execution_count, f"nbval would silently check nothing in {cell.id}"


def test_no_widget_state_and_nothing_private(notebook):
    assert "widgets" not in notebook.metadata
    text = nbformat.writes(notebook)
    assert WIDGET_VIEW not in text
    assert not re.search(r"/home/|/Users/|/tmp/|index-url", text)
    assert str(Path.home()) not in text
    assert "sys.path" not in text


def test_outputs_are_small(notebook):
    assert len(nbformat.writes(notebook)) < 1_500_000


def test_no_score_is_written_by_hand(notebook):
    """A percentage with a decimal, in prose, is a figure that code should have printed."""
    assert re.findall(r"\d+\.\d+ ?%", prose(notebook)) == []


def test_says_that_the_sample_is_not_fer2013():
    first = nbformat.read(NOTEBOOKS[0], as_version=4)
    assert "not** FER-2013 figures" in prose(first)
