"""Running notebooks: the report is complete, the first error stops, nothing private is left in outputs."""

import json
import subprocess
import sys

import nbformat
import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError

import fer_utils.runner.execute  # noqa: F401
import fer_utils.runner.series  # noqa: F401
from fer_utils.common.errors import UserError
from fer_utils.runner import execute, profiles
from fer_utils.runner import refresh as refresh_module
from fer_utils.runner import series as series_module
from fer_utils.runner.series import NotebookFailed, run_notebooks
from fer_utils.runner.tidy import WIDGET_VIEW, tidy
from fer_utils.runner.values import parse_overrides

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
    for module in (profiles, refresh_module, series_module):
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


@pytest.fixture
def comes_after(tmp_path):
    """A function that notes in a notebook whose results it needs in its last cell."""

    def note(stem, *others):
        path = tmp_path / "project" / "notebooks" / f"{stem}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        notebook.metadata["fer_utils"] = {"after": list(others)}
        notebook.cells[-1].metadata.setdefault("tags", []).append("needs-others")
        nbformat.write(notebook, path)

    return note


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
    with pytest.raises(NotebookFailed, match="01_a stopped: RuntimeError: again"):
        run(RuntimeError("once"), RuntimeError("again"))
    with pytest.raises(NotebookFailed, match="01_a stopped: the kernel died, often for lack of memory"):
        run(DeadKernelError("Kernel died"))
    assert len(tried) == 1
    with pytest.raises(NotebookFailed, match="took longer than 48 hours"):
        run(CellTimeoutError("Timeout"))


KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_kernel_is_reported_beside_what_had_run(series, tmp_path, jobs, comes_after):
    series(nb01_a=[PARAMETERS], nb02_b=[PARAMETERS, KILLED], nb03_c=[PARAMETERS])
    comes_after("02_b", "01_a")
    with pytest.raises(NotebookFailed, match="02_b stopped: the kernel died.*lower BATCH_SIZE or --jobs"):
        run_notebooks(only=["01", "02"], out=tmp_path / "out", progress=False, jobs=jobs)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Stopped: 02_b" in page and 'href="01_a.html"' in page and (tmp_path / "out" / "02_b.html").is_file()
    rows = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [bool(row["error"]) for row in rows] == [False, True]


def test_a_killed_process_is_reported_beside_what_had_run(series, tmp_path, comes_after):
    # The kernel's parent is the process that runs the notebook.
    parent = "import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)"
    series(nb01_a=[PARAMETERS], nb02_b=[PARAMETERS, parent])
    comes_after("02_b", "01_a")
    with pytest.raises(NotebookFailed, match="02_b stopped: its process was killed"):
        run_notebooks(out=tmp_path / "out", progress=False, jobs=2)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Stopped: 02_b" in page
    assert all((tmp_path / "out" / f"{name}.html").is_file() for name in ("01_a", "02_b"))


@pytest.mark.parametrize("left", [None, '{"cells": ['])
def test_a_notebook_that_left_nothing_readable_has_a_page_all_the_same(series, tmp_path, monkeypatch, left):
    import papermill

    def execute(notebook, target, *_, **__):
        if left:
            target.write_text(left)
        raise OSError(28, "No space left on device")

    series(nb01_a=[PARAMETERS, "'as it was written'"])
    monkeypatch.setattr(papermill, "execute_notebook", execute)
    with pytest.raises(NotebookFailed, match="01_a stopped: OSError.*No space left on device"):
        run_notebooks(out=tmp_path / "out", progress=False)
    assert "as it was written" in (tmp_path / "out" / "01_a.html").read_text()
    assert "Stopped: 01_a" in (tmp_path / "out" / "index.html").read_text()


def test_on_a_full_disk_the_earlier_run_stays_and_the_file_is_named(series, tmp_path, monkeypatch):
    series(nb01_a=[PARAMETERS, "'first run'"])
    run_notebooks(out=tmp_path / "out", progress=False)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("01_a.*")}
    assert set(before) == {"01_a.ipynb", "01_a.html"}
    write = execute.write_notebook

    def full(content, path):
        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            write(content, path)

    monkeypatch.setattr(execute, "write_notebook", full)
    with pytest.raises(NotebookFailed, match=r"01_a stopped: OSError: .*No space left on device: '.*01_a.ipynb'"):
        run_notebooks(out=tmp_path / "out", progress=False)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("01_a.*")} == before
    assert "Stopped: 01_a" in (tmp_path / "out" / "index.html").read_text()


def test_a_killed_kernel_leaves_the_committed_notebook_alone(series):
    folder = series(nb01_a=[PARAMETERS, KILLED])
    before = (folder / "01_a.ipynb").read_text()
    with pytest.raises(NotebookFailed, match="01_a stopped: the kernel died"):
        refresh_module.refresh_notebooks(progress=False)
    assert (folder / "01_a.ipynb").read_text() == before


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


def test_notebooks_run_side_by_side_and_one_that_compares_comes_after(series, tmp_path, comes_after):
    reads = "import pathlib; print('found', sorted(p.name for p in pathlib.Path(OUTPUT_DIR).iterdir()))"
    series(nb01_a=[PARAMETERS, reads], nb02_b=meeting("b", "c"), nb03_c=meeting("c", "b"))
    comes_after("01_a", "02_b", "03_c", "07_not_asked_for")
    page = run_notebooks(out=tmp_path / "out", progress=False, jobs=2)
    executed = nbformat.read(tmp_path / "out" / "01_a.ipynb", as_version=4)
    assert "found ['b', 'c']" in executed.cells[-1].outputs[0].text
    rows = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [row["notebook"] for row in rows] == ["01_a", "02_b", "03_c"]
    assert page.read_text().index('href="01_a.html"') < page.read_text().index('href="02_b.html"')


def test_of_the_second_wave_one_waits_for_another_where_it_needs_it(series, tmp_path, comes_after):
    """Both run at the same time until the tagged cell, which finds what the other leaves last."""
    leaves = "time.sleep(1); (pathlib.Path(OUTPUT_DIR) / 'result').touch()"
    reads = "print('found', (pathlib.Path(OUTPUT_DIR) / 'result').exists())"
    series(nb01_a=[PARAMETERS], nb02_b=[*meeting("b", "c"), leaves], nb03_c=[*meeting("c", "b"), reads])
    comes_after("02_b", "01_a")
    comes_after("03_c", "01_a", "02_b")
    run_notebooks(out=tmp_path / "out", progress=False, jobs=2)
    executed = nbformat.read(tmp_path / "out" / "03_c.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "found True\n"


def test_one_that_waits_goes_on_when_the_other_failed(series, tmp_path, comes_after):
    series(
        nb01_a=[PARAMETERS],
        nb02_b=[*meeting("b", "c"), "raise ValueError('second')"],
        nb03_c=[*meeting("c", "b"), "print('ended')"],
    )
    comes_after("02_b", "01_a")
    comes_after("03_c", "02_b")
    with pytest.raises(NotebookFailed, match="second"):
        run_notebooks(out=tmp_path / "out", progress=False, jobs=2)
    assert "ended" in (tmp_path / "out" / "03_c.html").read_text()


def test_notebooks_that_name_each_other_end_all_the_same(series, tmp_path, comes_after):
    series(nb01_a=[PARAMETERS], nb02_b=[PARAMETERS])
    comes_after("01_a", "02_b")
    comes_after("02_b", "01_a")
    assert run_notebooks(out=tmp_path / "out", progress=False, jobs=2).is_file()


def test_with_several_jobs_an_error_lets_the_others_end_and_starts_no_more(series, tmp_path, comes_after):
    series(
        nb01_a=[PARAMETERS, "raise ValueError('first')"],
        nb02_b=[PARAMETERS, "import time; time.sleep(4); print('ended')"],
        nb03_c=[PARAMETERS],
        nb04_d=[PARAMETERS],
    )
    comes_after("04_d", "01_a")
    with pytest.raises(NotebookFailed, match="first"):
        run_notebooks(out=tmp_path / "out", progress=False, jobs=2)
    assert "ended" in (tmp_path / "out" / "02_b.html").read_text()
    assert not any((tmp_path / "out" / name).exists() for name in ("03_c.ipynb", "04_d.ipynb"))
    assert "Stopped: 01_a" in (tmp_path / "out" / "index.html").read_text()


def test_unknown_parameter_is_refused_before_anything_runs(series, tmp_path):
    series(nb01_a=[PARAMETERS])
    with pytest.raises(UserError, match="there is no parameter 'SEEED' in 01_a"):
        run_notebooks(out=tmp_path / "out", overrides={"SEEED": 1}, progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("below", ["", "x", "x/y"])
def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_runs(series, tmp_path, monkeypatch, below):
    series(nb01_a=[PARAMETERS])
    monkeypatch.setattr(sys.modules["fer_utils.runner.series"], "run_one", None)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write to .*file.* \((Not a directory|File exists)\)"):
        run_notebooks(out=tmp_path / "file" / below, progress=False)


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    # For root, every folder can be written to.
    monkeypatch.setattr(series_module.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"cannot write to .*out \(Permission denied\): choose another folder$"):
        series_module.make_folder(tmp_path / "out")


def test_two_runs_into_one_folder_keep_each_others_entries(series, tmp_path, monkeypatch):
    series(nb01_a=[PARAMETERS], nb02_b=[PARAMETERS])
    genuine = execute.run_one

    def run_one(notebook, out, parameters):
        if notebook.stem == "01_a":
            # Another command begins later and ends sooner.
            run_notebooks(only=["02"], out=out, progress=False)
        return genuine(notebook, out, parameters)

    monkeypatch.setattr(sys.modules["fer_utils.runner.series"], "run_one", run_one)
    page = run_notebooks(only=["01"], out=tmp_path / "out", progress=False)
    rows = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [row["notebook"] for row in rows] == ["01_a", "02_b"] and 'href="02_b.html"' in page.read_text()


def test_entries_are_saved_one_command_at_a_time(tmp_path):
    # Two processes that read, wait and write would lose entries without the lock.
    script = """
import sys, time
from pathlib import Path
from fer_utils.runner import series as runner
read = runner.earlier_runs
def slowly(out):
    found = read(out)
    time.sleep(0.05)
    return found
runner.earlier_runs = slowly
Path(sys.argv[1], f"{sys.argv[2]} is there").touch()
while len(list(Path(sys.argv[1]).glob("* is there"))) < 2:
    time.sleep(0.01)
for number in range(10):
    runner._save_run(Path(sys.argv[1]), runner.NotebookRun(f"{sys.argv[2]}{number}", 1.0, {}))
"""
    commands = [[sys.executable, "-c", script, str(tmp_path), name] for name in "ab"]
    for process in [subprocess.Popen(command) for command in commands]:
        assert process.wait() == 0
    assert len(series_module.earlier_runs(tmp_path)) == 20


@pytest.mark.parametrize(
    "content", ["{", "[1]", "[{}]", '[{"notebook": 1, "seconds": "x", "parameters": []}]', "[" * 9999]
)
def test_damaged_entries_are_named_and_begun_anew(series, tmp_path, capsys, content):
    series(nb01_a=[PARAMETERS])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text(content)
    assert series_module.earlier_runs(tmp_path / "out") == {}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fer: ") and "run.json is damaged (" in line
    series_module._save_run(tmp_path / "out", series_module.NotebookRun("01_a", 1.0, {}))
    assert list(series_module.earlier_runs(tmp_path / "out")) == ["01_a"]


def test_paths_in_the_environment_hold_inside_the_kernels(series, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    show = "import os; print([os.environ[f'FER_{name}'] for name in ('DATA', 'CACHE', 'FLAGGED')])"
    series(nb01_a=[PARAMETERS, show])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, path in (("DATA", "~/x.zip"), ("CACHE", "cache"), ("FLAGGED", "~/flagged")):
        monkeypatch.setenv(f"FER_{name}", path)
    run_notebooks(out=tmp_path / "out", progress=False)
    executed = nbformat.read(tmp_path / "out" / "01_a.ipynb", as_version=4)
    wanted = [str(tmp_path / path) for path in ("home/x.zip", "cache", "home/flagged")]
    assert executed.cells[-1].outputs[0].text.strip() == str(wanted)


def test_running_one_more_notebook_completes_the_report(series, tmp_path):
    series(nb01_a=[PARAMETERS], nb02_b=[PARAMETERS])
    run_notebooks(only=["01"], out=tmp_path / "out", progress=False)
    page = run_notebooks(only=["02"], out=tmp_path / "out", progress=False).read_text()
    assert "01_a.html" in page and "02_b.html" in page


@pytest.fixture
def with_appendix(series):
    """A series of one notebook and an appendix of one, which prints the folder that its kernel works in."""
    folder = series(nb01_a=[PARAMETERS], A1_more=[PARAMETERS, "import os; print(os.path.basename(os.getcwd()))"])
    (folder / "appendix").mkdir()
    (folder / "A1_more.ipynb").rename(folder / "appendix" / "A1_more.ipynb")
    return folder


def test_the_appendix_runs_when_it_is_asked_for_and_is_listed_below_the_series(with_appendix, tmp_path):
    page = run_notebooks(out=tmp_path / "out", progress=False).read_text()
    assert "Appendix" not in page and not (tmp_path / "out" / "A1_more.ipynb").exists()
    page = run_notebooks(only=["A1"], out=tmp_path / "out", progress=False).read_text()
    executed = nbformat.read(tmp_path / "out" / "A1_more.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "appendix\n"
    assert page.index("<h2>Notebooks") < page.index('href="01_a.html"') < page.index("<h2>Appendix")
    assert page.index("<h2>Appendix") < page.index('href="A1_more.html"')


def test_refresh_renews_the_appendix_too_and_forgets_no_training_for_it(with_appendix):
    results = with_appendix.parent / "runs" / "notebooks"
    (results / "01_a").mkdir(parents=True)
    refresh_module.refresh_notebooks(["A1"], progress=False)
    executed = nbformat.read(with_appendix / "appendix" / "A1_more.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "appendix\n" and (results / "01_a").is_dir()
    refresh_module.refresh_notebooks(progress=False)
    assert not (results / "01_a").exists()


def test_refresh_writes_in_place_and_leaves_a_failing_notebook_alone(series):
    folder = series(nb01_a=[PARAMETERS, "SEED + 41"], nb02_b=[PARAMETERS, "nothing"])
    before = (folder / "02_b.ipynb").read_text()
    with pytest.raises(NotebookFailed, match="02_b"):
        refresh_module.refresh_notebooks(progress=False)
    first = nbformat.read(folder / "01_a.ipynb", as_version=4)
    assert first.cells[1].outputs[0]["data"]["text/plain"] == "41"
    assert (folder / "02_b.ipynb").read_text() == before


def test_refresh_forgets_own_and_later_results_only(series):
    folder = series(nb02_b=[PARAMETERS])
    results = folder.parent / "runs" / "notebooks"
    for name in ("01_a", "02_b", "02_b_head", "03_c"):
        (results / name).mkdir(parents=True)
    refresh_module.refresh_notebooks(progress=False)
    assert [path.name for path in results.iterdir()] == ["01_a"]


@pytest.mark.parametrize(
    "only, kept, wanted",
    [
        (["03"], ["02_b"], "01_a"),
        (["03"], [], "01_a, 02_b"),
        # Refreshing the first forgets what the second left.
        (["01", "03"], ["02_b"], "02_b"),
        (["03"], ["01_a", "02_b_head"], ""),
        (None, [], ""),
    ],
)
def test_refresh_wants_the_results_that_a_notebook_compares(series, only, kept, wanted):
    folder = series(nb01_a=[PARAMETERS, "1"], nb02_b=[PARAMETERS, "1"], nb03_c=[PARAMETERS, "1"])
    notebook = nbformat.read(folder / "03_c.ipynb", as_version=4)
    notebook.metadata["fer_utils"] = {"after": ["01_a", "02_b"]}
    nbformat.write(notebook, folder / "03_c.ipynb")
    for name in kept:
        (folder.parent / "runs" / "notebooks" / name).mkdir(parents=True)
    if wanted:
        with pytest.raises(UserError, match=f"03_c shows results of {wanted}, .* fer refresh --only 01") as refused:
            refresh_module.refresh_notebooks(only, progress=False)
        assert "--only 03" in str(refused.value)
    else:
        refresh_module.refresh_notebooks(only, progress=False)
    executed = nbformat.read(folder / "03_c.ipynb", as_version=4)
    assert bool(executed.cells[1].outputs) is not bool(wanted)


def test_tidy_removes_what_no_reader_wants():
    cell = nbformat.v4.new_code_cell("x")
    cell.metadata["execution"] = {"iopub.execute_input": "2026"}
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="warning"),
        nbformat.v4.new_output("display_data", {WIDGET_VIEW: {"model_id": "1"}, "text/plain": "bar"}),
        nbformat.v4.new_output("stream", name="stdout", text="10 %\r50 %\r100 %\ndone\n"),
        nbformat.v4.new_output("stream", name="stdout", text="\r   \r"),
        nbformat.v4.new_output("execute_result", {"text/plain": "3"}),
    ]
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": "a face"}, "papermill": {}})
    tidied = tidy(notebook)
    assert "widgets" not in tidied.metadata and "papermill" not in tidied.metadata
    assert [output.get("text") or output.data["text/plain"] for output in tidied.cells[0].outputs] == [
        "100 %\ndone\n",
        "3",
    ]
    assert tidied.cells[0].metadata == {}


def test_the_same_results_leave_the_same_file():
    """Whatever pandas draws for a styled table's names and wherever objects lay in memory."""

    def executed(*tables, address):
        html = [f'<style>#T_{name}_row0_col0, #T_{name} td {{}}</style><table id="T_{name}">' for name in tables]
        outputs = [
            nbformat.v4.new_output("execute_result", {"text/html": text, "text/plain": f"<Styler at {address}>"})
            for text in html
        ]
        cells = [nbformat.v4.new_code_cell("x", id=f"x{i}", outputs=[output]) for i, output in enumerate(outputs)]
        return tidy(nbformat.v4.new_notebook(cells=cells))

    first = executed("0a1b2", "fffff", "0a1b2", address="0x7f3180289650")
    assert first == executed("12345", "abcde", "12345", address="0x1")
    assert [cell.outputs[0].data["text/html"].partition("table ")[2] for cell in first.cells] == [
        'id="T_1">',
        'id="T_2">',
        'id="T_1">',
    ]
    assert "#T_2_row0_col0, #T_2 td" in first.cells[1].outputs[0].data["text/html"]
    assert first.cells[0].outputs[0].data["text/plain"] == "<Styler>"


VALUES = 'DATA = "sample"\nSEED = 0\nRATE = 0.1\nONCE = True\nOUTPUT_DIR = "x"'


@pytest.mark.parametrize(
    "given, value",
    [
        ("RATE=1e-3", 0.001),
        ("RATE=1", 1.0),
        ("SEED=2", 2),
        ("SEED=010", 10),
        ("ONCE=false", False),
        ("DATA=2013", "2013"),
        ("DATA=@x.zip", "@x.zip"),
        ("DATA=yes", "yes"),
        ("DATA=a #1.zip", "a #1.zip"),
        ("DATA=", ""),
        ("DATA=a=b: c", "a=b: c"),
    ],
)
def test_values_get_the_type_of_the_notebooks_own(series, tmp_path, given, value):
    (notebook,) = series(nb01_a=[VALUES]).glob("*.ipynb")
    found = series_module.plan_run("sample", None, tmp_path, parse_overrides([given]))[notebook][
        given.partition("=")[0]
    ]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "given, message",
    [
        ("SEED=ten", "SEED must be a whole number, such as 0, not 'ten'"),
        ("SEED=", "SEED must be a whole number, such as 0, not ''"),
        ("SEED=[1", r"SEED must be a whole number, such as 0, not '\[1'"),
        ("SEED=1.5", "SEED must be a whole number"),
        ("SEED=true", "SEED must be a whole number"),
        ("RATE=fast", "RATE must be a number, such as 0.1, not 'fast'"),
        ("RATE=nan", "RATE must be a number"),
        ("ONCE=2", "ONCE must be true or false, such as True, not '2'"),
        ("ONCE=[1", "ONCE must be true or false"),
    ],
)
def test_values_of_another_type_are_refused_before_anything_runs(series, tmp_path, given, message):
    series(nb01_a=[VALUES])
    with pytest.raises(UserError, match=message):
        run_notebooks(out=tmp_path / "out", overrides=parse_overrides([given]), progress=False)
    assert not (tmp_path / "out").exists()


def test_a_profile_is_typed_too_and_values_from_python_are_taken(series, tmp_path):
    folder = series(nb01_a=[VALUES])
    (folder / "profiles" / "sample.yaml").write_text("all: {RATE: 1e-3, SEED: 2.0}")
    (values,) = series_module.plan_run("sample", None, tmp_path, {"ONCE": False, "DATA": 2013}).values()
    assert values == {"RATE": 0.001, "SEED": 2, "ONCE": False, "DATA": "2013", "OUTPUT_DIR": str(tmp_path / "runs")}
    for wrong in (None, True, [1]):
        with pytest.raises(UserError, match="DATA must be text"):
            series_module.plan_run("sample", None, tmp_path, {"DATA": wrong})


def test_data_is_found_from_where_the_command_is(series, tmp_path, monkeypatch):
    series(nb01_a=[VALUES])
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "x.zip").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for given in ("home/x.zip", "~/x.zip"):
        (values,) = series_module.plan_run("sample", None, tmp_path, {"DATA": given}).values()
        assert values["DATA"] == str(tmp_path / "home" / "x.zip")


def test_overrides_are_names_and_text():
    assert parse_overrides(["EPOCHS=2", "DATA=../a b.zip", "A=b=c", "DATA2="]) == {
        "EPOCHS": "2",
        "DATA": "../a b.zip",
        "A": "b=c",
        "DATA2": "",
    }
    with pytest.raises(UserError, match="NAME=VALUE"):
        parse_overrides(["EPOCHS"])
