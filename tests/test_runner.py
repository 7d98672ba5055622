"""Running notebooks: the report is complete, the first error stops, nothing private is left in outputs."""

import json

import nbformat
import pytest
from nbclient.exceptions import DeadKernelError

from fer_utils import profiles, runner
from fer_utils.errors import UserError
from fer_utils.runner import NotebookFailed, parse_overrides, run_notebooks, tidy

KERNEL = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "language_info": {"name": "python"},
}


@pytest.fixture
def series(tmp_path, monkeypatch):
    """A function that makes a folder of notebooks with the given cells, and a profile."""
    folder = tmp_path / "project" / "notebooks"
    (folder / "profiles").mkdir(parents=True)
    (folder / "profiles" / "sample.yaml").write_text("all: {SEED: 5}")
    for module in (profiles, runner):
        monkeypatch.setattr(module, "notebook_folder", lambda: folder)

    def make(**notebooks):
        for stem, sources in notebooks.items():
            cells = [nbformat.v4.new_code_cell(source) for source in sources]
            cells[0].metadata["tags"] = ["parameters"]
            nbformat.write(
                nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), folder / f"{stem.replace('nb', '')}.ipynb"
            )
        return folder

    return make


PARAMETERS = 'SEED = 0\nOUTPUT_DIR = "x"'


def test_run_leaves_notebooks_pages_and_index(series, tmp_path):
    folder = series(nb01_a=[PARAMETERS, "print('seed', SEED)"], nb02_b=[PARAMETERS, "print(OUTPUT_DIR)"])
    page = run_notebooks(out=tmp_path / "out", progress=False)
    assert page == tmp_path / "out" / "index.html"
    for name in ("01_a", "02_b"):
        assert (tmp_path / "out" / f"{name}.ipynb").is_file() and (tmp_path / "out" / f"{name}.html").is_file()
        assert f'href="{name}.html"' in page.read_text()
    executed = nbformat.read(tmp_path / "out" / "01_a.ipynb", as_version=4)
    assert any("seed 5" in output.get("text", "") for cell in executed.cells for output in cell.outputs)
    assert "seed" not in str(nbformat.read(folder / "01_a.ipynb", as_version=4).cells[1].outputs)
    rows = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [row["notebook"] for row in rows] == ["01_a", "02_b"] and all(row["seconds"] > 0 for row in rows)


def test_first_error_stops_and_names_notebook_cell_and_traceback(series, tmp_path):
    series(nb01_a=[PARAMETERS, "1 + 1", "wrong = 1 / 0"], nb02_b=[PARAMETERS])
    with pytest.raises(NotebookFailed) as caught:
        run_notebooks(out=tmp_path / "out", progress=False)
    message = str(caught.value)
    assert "01_a.ipynb stopped in cell" in message and "wrong = 1 / 0" in message and "ZeroDivisionError" in message
    assert not (tmp_path / "out" / "02_b.ipynb").exists()
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Stopped: 01_a" in page and "ZeroDivisionError" in page


def test_a_kernel_that_did_not_start_gets_a_second_chance_and_one_that_died_does_not(series, tmp_path, monkeypatch):
    import papermill

    series(nb01_a=[PARAMETERS])
    genuine, tried = papermill.execute_notebook, []

    def run(*errors):
        waiting = list(errors)
        tried.clear()

        def execute(*arguments, **options):
            tried.append(1)
            if waiting:
                raise waiting.pop(0)
            return genuine(*arguments, **options)

        monkeypatch.setattr(papermill, "execute_notebook", execute)
        run_notebooks(out=tmp_path / "out", progress=False)

    run(RuntimeError("Kernel didn't respond in 60 seconds"))
    assert len(tried) == 2
    with pytest.raises(RuntimeError, match="again"):
        run(RuntimeError("once"), RuntimeError("again"))
    with pytest.raises(DeadKernelError):
        run(DeadKernelError("Kernel died"))
    assert len(tried) == 1


MEETS = """
import pathlib, time
here = pathlib.Path(OUTPUT_DIR) / NAME
here.touch()
for _ in range(300):
    if (here.parent / OTHER).exists(): break
    time.sleep(0.1)
else:
    raise TimeoutError(OTHER)
"""


def meeting(name, other):
    """Cells that end only if another notebook runs at the same time."""
    return [PARAMETERS, f"NAME, OTHER = {name!r}, {other!r}{MEETS}"]


def test_notebooks_run_side_by_side_and_one_that_compares_comes_after(series, tmp_path):
    reads = "import pathlib; print('found', sorted(p.name for p in pathlib.Path(OUTPUT_DIR).iterdir()))"
    folder = series(nb01_a=[PARAMETERS, reads], nb02_b=meeting("b", "c"), nb03_c=meeting("c", "b"))
    later = nbformat.read(folder / "01_a.ipynb", as_version=4)
    later.metadata["fer_utils"] = {"after": ["02_b", "03_c", "07_not_asked_for"]}
    nbformat.write(later, folder / "01_a.ipynb")
    page = run_notebooks(out=tmp_path / "out", progress=False, jobs=2)
    executed = nbformat.read(tmp_path / "out" / "01_a.ipynb", as_version=4)
    assert "found ['b', 'c']" in executed.cells[-1].outputs[0].text
    rows = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [row["notebook"] for row in rows] == ["01_a", "02_b", "03_c"]
    assert page.read_text().index('href="01_a.html"') < page.read_text().index('href="02_b.html"')


def test_what_others_wait_for_begins_first(series, tmp_path):
    folder = series(nb01_a=meeting("a", "c"), nb02_b=meeting("b", "c"), nb03_c=meeting("c", "c"), nb04_d=[PARAMETERS])
    later = nbformat.read(folder / "04_d.ipynb", as_version=4)
    later.metadata["fer_utils"] = {"after": ["03_c"]}
    nbformat.write(later, folder / "04_d.ipynb")
    # The first two end only when the third has begun.
    run_notebooks(out=tmp_path / "out", progress=False, jobs=2)
    assert {path.stem for path in (tmp_path / "out").glob("*.html")} == {"01_a", "02_b", "03_c", "04_d", "index"}


def test_notebooks_that_wait_for_each_other_are_refused(series, tmp_path):
    folder = series(nb01_a=[PARAMETERS], nb02_b=[PARAMETERS])
    for own, other in (("01_a", "02_b"), ("02_b", "01_a")):
        notebook = nbformat.read(folder / f"{own}.ipynb", as_version=4)
        notebook.metadata["fer_utils"] = {"after": [other]}
        nbformat.write(notebook, folder / f"{own}.ipynb")
    with pytest.raises(UserError, match="wait for each other: 01_a, 02_b"):
        run_notebooks(out=tmp_path / "out", progress=False, jobs=2)


def test_with_several_jobs_an_error_lets_the_others_end_and_starts_no_more(series, tmp_path):
    series(
        nb01_a=[PARAMETERS, "raise ValueError('first')"],
        nb02_b=[PARAMETERS, "import time; time.sleep(4); print('ended')"],
        nb03_c=[PARAMETERS],
    )
    with pytest.raises(NotebookFailed, match="first"):
        run_notebooks(out=tmp_path / "out", progress=False, jobs=2)
    assert "ended" in (tmp_path / "out" / "02_b.html").read_text()
    assert not (tmp_path / "out" / "03_c.ipynb").exists()
    assert "Stopped: 01_a" in (tmp_path / "out" / "index.html").read_text()


def test_unknown_parameter_is_refused_before_anything_runs(series, tmp_path):
    series(nb01_a=[PARAMETERS])
    with pytest.raises(UserError, match="no notebook has a parameter 'SEEED'"):
        run_notebooks(out=tmp_path / "out", overrides={"SEEED": 1}, progress=False)
    assert not (tmp_path / "out").exists()


def test_running_one_more_notebook_completes_the_report(series, tmp_path):
    series(nb01_a=[PARAMETERS], nb02_b=[PARAMETERS])
    run_notebooks(only=["01"], out=tmp_path / "out", progress=False)
    page = run_notebooks(only=["02"], out=tmp_path / "out", progress=False).read_text()
    assert "01_a.html" in page and "02_b.html" in page


def test_refresh_writes_in_place_and_leaves_a_failing_notebook_alone(series):
    folder = series(nb01_a=[PARAMETERS, "SEED + 41"], nb02_b=[PARAMETERS, "nothing"])
    before = (folder / "02_b.ipynb").read_text()
    with pytest.raises(NotebookFailed, match="02_b"):
        runner.refresh_notebooks(progress=False)
    first = nbformat.read(folder / "01_a.ipynb", as_version=4)
    assert first.cells[1].outputs[0]["data"]["text/plain"] == "41"
    assert (folder / "02_b.ipynb").read_text() == before


def test_refresh_forgets_own_and_later_results_only(series):
    folder = series(nb02_b=[PARAMETERS])
    results = folder.parent / "runs" / "notebooks"
    for name in ("01_a", "02_b", "02_b_head", "03_c"):
        (results / name).mkdir(parents=True)
    runner.refresh_notebooks(progress=False)
    assert [path.name for path in results.iterdir()] == ["01_a"]


def test_tidy_removes_what_no_reader_wants():
    cell = nbformat.v4.new_code_cell("x")
    cell.metadata["execution"] = {"iopub.execute_input": "2026"}
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="warning"),
        nbformat.v4.new_output("display_data", {runner.WIDGET_VIEW: {"model_id": "1"}, "text/plain": "bar"}),
        nbformat.v4.new_output("stream", name="stdout", text="10 %\r50 %\r100 %\ndone\n"),
        nbformat.v4.new_output("stream", name="stdout", text="\r   \r"),
        nbformat.v4.new_output("execute_result", {"text/plain": "3"}),
    ]
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": "a face"}, "papermill": {}})
    tidied = tidy(notebook)
    assert "widgets" not in tidied.metadata and "papermill" not in tidied.metadata
    assert [output.get("text") or output.data["text/plain"] for output in tidied.cells[0].outputs] == [
        "100 %\ndone\n", "3",
    ]  # fmt: skip
    assert tidied.cells[0].metadata == {}


def test_overrides_are_read_as_values():
    assert parse_overrides(["EPOCHS=2", "DATA=../a b.zip", "RATE=0.5", "DATA2="]) == {
        "EPOCHS": 2, "DATA": "../a b.zip", "RATE": 0.5, "DATA2": "",
    }  # fmt: skip
    with pytest.raises(UserError, match="NAME=VALUE"):
        parse_overrides(["EPOCHS"])
