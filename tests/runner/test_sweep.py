"""Sweeps: refused before anything runs, stable folders, nothing run twice, failures kept apart, one table."""

import json
import os
import subprocess
import sys

import nbformat
import pytest
from distributed import LocalCluster
from typer.testing import CliRunner

import fer_utils.runner.series  # noqa: F401
import fer_utils.runner.sweep  # noqa: F401
from fer_utils.cli import main
from fer_utils.common.errors import UserError
from fer_utils.runner import profiles, series, sweep

KERNEL = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "language_info": {"name": "python"},
}
PARAMETERS = 'DATA = ""\nSEED = 0\nRATE = 0.1\nOUTPUT_DIR = "x"'
# Leaves what `results.record` does, and counts how often it ran. Seed 13 fails, once the file says so.
WORK = """
import json, pathlib
folder = pathlib.Path(OUTPUT_DIR, "toy")
folder.mkdir(exist_ok=True)
with open(pathlib.Path(OUTPUT_DIR, "count"), "a") as file:
    file.write("x")
if SEED == 13 and not pathlib.Path("healed").exists():
    raise ZeroDivisionError("thirteen")
score = {"n": 70, "accuracy": SEED / 10, "accuracy_ci95": [0.0, RATE], "macro_f1": 0.5}
score["confusion_matrix"] = [[10 * (i == j) for i in range(7)] for j in range(7)]
scores = {split: {**score, "split": split} for split in ("validation", "PublicTest")}
record = {"title": "Toy", "name": "toy", "data": {"is_sample": True, "fingerprint": "f"}, "weights": "none"}
record |= {"parameters": 3, "epochs": 2, "best_epoch": 1, "seconds": 90, "scores": scores, "finished": "2026-01-01"}
record |= {"history": {"loss": [2.0, 1.0], "accuracy": [0.1, 0.2], "val_loss": [2.0, 1.0], "val_accuracy": [0.1, 0.2]}}
(folder / "metrics.json").write_text(json.dumps(record))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a toy notebook that has parameters, and another one that has fewer."""
    folder = tmp_path / "project" / "notebooks"
    (folder / "profiles").mkdir(parents=True)
    (folder / "profiles" / "sample.yaml").write_text("all: {SEED: 5}")
    for name, sources in {"01_toy": [PARAMETERS, WORK], "02_other": ['SIZE = 1\nOUTPUT_DIR = ""', "1"]}.items():
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        cells[0].metadata["tags"] = ["parameters"]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), folder / f"{name}.ipynb")
    for module in (profiles, series, sweep):
        monkeypatch.setattr(module, "notebook_folder", lambda: folder)
    # The report's figures are tested elsewhere; here they would only take time.
    monkeypatch.setattr(sys.modules["fer_utils.runner.series"], "write_report", lambda out, *_: out / "index.html")
    return folder


@pytest.fixture(scope="module")
def scheduler():
    """The address of a Dask scheduler whose one worker is a thread of this process, so that it sees the toy project."""
    options = {"processes": False, "n_workers": 1, "threads_per_worker": 2, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**options) as cluster:
        yield cluster.scheduler_address


def grid_file(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def grid(tmp_path, text="only: ['01']\ngrid: {SEED: [1, 2]}"):
    return sweep.read_grid(grid_file(tmp_path, text))


def times_run(folder):
    return len((folder / "runs" / "count").read_text())


def test_folders_are_readable_and_stable(tmp_path, project):
    first = grid(tmp_path, "grid: {SEED: [0, 1], RATE: [0.5]}").runs
    assert first == {"RATE=0.5,SEED=0": {"RATE": 0.5, "SEED": 0}, "RATE=0.5,SEED=1": {"RATE": 0.5, "SEED": 1}}
    later = grid(tmp_path, "grid: {RATE: [0.1, 0.5], SEED: [2, 1, 0]}").runs
    assert set(first) < set(later)


def test_names_suit_every_file_system_and_stay_different(tmp_path, project):
    names = list(grid(tmp_path, "grid: {DATA: [a/b, a b, 'a:b', " + "x" * 200 + "]}").runs)
    assert len({name.casefold() for name in names}) == 4
    for name in names:
        assert len(name) < 60 and not set(name) & set('/\\: *?"<>|')
        assert name == os.path.basename(name)


@pytest.mark.parametrize(
    "text, message",
    [
        ("grid: {SEED: []}", "must map names to lists"),
        ("grid: {SEED: 1}", "must map names to lists"),
        ("only: ['01']", "must map names to lists"),
        ("- 1", "must be a mapping"),
        ("grids: {SEED: [1]}", "must be a mapping with profile, only, parameters, grid"),
        ("a: {: :", "not valid YAML"),
        ("grid: {SEEED: [1]}", "there is no parameter 'SEEED'"),
        ("parameters: {SEEED: 1}\ngrid: {SEED: [1]}", "there is no parameter 'SEEED'"),
        ("only: ['02']\ngrid: {SEED: [1]}", "there is no parameter 'SEED' in 02_other: choose from"),
        ("only: ['07']\ngrid: {SEED: [1]}", "no notebook begins with '07'"),
        ("profile: fast\ngrid: {SEED: [1]}", "unknown profile 'fast'"),
        ("grid: {SEED: [1, 2, 1]}", "a value stands twice"),
        ("grid: {OUTPUT_DIR: [a]}", "OUTPUT_DIR is set by the sweep"),
        ("parameters: {SEED: 1}\ngrid: {SEED: [1]}", "SEED is both in"),
        ("parameters: [1]\ngrid: {SEED: [1]}", "'parameters' must map"),
        ("grid: {SEED: [1, ten]}", "SEED must be a whole number, such as 0, not 'ten'"),
        ("parameters: {RATE: fast}\ngrid: {SEED: [1]}", "RATE must be a number, such as 0.1, not 'fast'"),
        ("grid: {RATE: [0.001, 1e-3]}", "a value stands twice"),
    ],
)
def test_refused_before_anything_runs(tmp_path, project, text, message):
    with pytest.raises(UserError, match=message):
        grid(tmp_path, text)
    found = CliRunner().invoke(main.app, ["sweep", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "out")])
    assert isinstance(found.exception, UserError), "which the command line turns into one line and exit code 2"
    assert not (tmp_path / "out").exists()


def test_values_get_the_type_of_the_notebooks_own(tmp_path, project):
    wanted = grid(tmp_path, "parameters: {DATA: 2013}\ngrid: {RATE: [1e-3]}")
    assert wanted.runs == {"RATE=0.001": {"DATA": "2013", "RATE": 0.001}}


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_runs(tmp_path, project, monkeypatch):
    monkeypatch.setattr(sys.modules["fer_utils.runner.sweep"], "run_combination", None)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write to .*file.x \(Not a directory\)"):
        sweep.run_sweep(grid(tmp_path), tmp_path / "file" / "x", progress=False)


def test_failures_are_kept_apart_and_only_the_unfinished_run_again(tmp_path, project, scheduler):
    out = tmp_path / "out"
    wanted = grid(tmp_path, "only: '01'\nparameters: {RATE: 0.9}\ngrid: {SEED: [13, 2]}")
    errors = sweep.run_sweep(wanted, out, scheduler, progress=False)
    assert errors == {"SEED=13": "01_toy.ipynb stopped in cell 3: ZeroDivisionError: thirteen"}
    table = sweep.collect(out)
    assert table["run"].unique().tolist() == ["SEED=2"] and table["split"].tolist() == ["validation", "PublicTest"]

    (project / "healed").touch()
    assert sweep.run_sweep(wanted, out, scheduler, progress=False) == {}
    assert (times_run(out / "SEED=2"), times_run(out / "SEED=13")) == (1, 2)
    table = sweep.collect(out)
    assert table.columns.tolist() == [
        "run",
        "RATE",
        "SEED",
        "model",
        "data",
        "weights",
        "split",
        "n",
        "accuracy",
        "low",
        "high",
        "macro_f1",
        "epochs",
        "minutes",
    ]
    row = table[(table["run"] == "SEED=2") & (table["split"] == "PublicTest")].iloc[0]
    assert row[["SEED", "RATE", "accuracy", "high", "n", "minutes"]].tolist() == [2, 0.9, 0.2, 0.9, 70, 1.5]
    assert (out / "results.csv").read_text() == table.to_csv(index=False)
    assert sorted(path.name for path in out.iterdir()) == ["SEED=13", "SEED=2", "results.csv"]


def test_a_run_that_was_killed_goes_on_with_the_notebook_it_had_not_finished(tmp_path, project, scheduler):
    wanted = grid(tmp_path, "parameters: {SIZE: 2}\ngrid: {SEED: [1]}")
    out = tmp_path / "out"
    assert [path.stem for path in sweep.unfinished(wanted, "SEED=1", out)] == ["01_toy", "02_other"]
    # What `fer run` leaves when it is killed in the second notebook.
    series.run_notebooks("sample", ["01"], out / "SEED=1", {"SEED": 1}, progress=False)
    (out / "SEED=1" / sweep.PARAMETERS_FILE).write_text(json.dumps(wanted.runs["SEED=1"], indent=1))
    assert [path.stem for path in sweep.unfinished(wanted, "SEED=1", out)] == ["02_other"]
    assert sweep.run_sweep(wanted, out, scheduler, progress=False) == {}
    assert times_run(out / "SEED=1") == 1 and (out / "SEED=1" / "02_other.ipynb").is_file()


def test_other_settings_under_the_same_name_run_again_and_forget_the_old_scores(tmp_path, project, monkeypatch):
    out = tmp_path / "out"
    first, changed = (
        grid(tmp_path, f"only: '01'\nparameters: {{RATE: {rate}}}\ngrid: {{SEED: [1]}}") for rate in (0.1, 0.2)
    )
    assert sweep.run_combination(first, "SEED=1", out) == "" and set(sweep.collect(out)["RATE"]) == {0.1}
    with monkeypatch.context() as stopped:
        stopped.setattr(sweep, "run_notebooks", lambda *_, **__: None)
        sweep.run_combination(changed, "SEED=1", out)
    assert sweep.collect(out).empty, "a score must not stand beside settings that it does not have"
    assert sweep.run_combination(changed, "SEED=1", out) == ""
    assert times_run(out / "SEED=1") == 2 and set(sweep.collect(out)["RATE"]) == {0.2}


def test_command_reports_and_ends_with_1(tmp_path, project, scheduler):
    path = grid_file(tmp_path, "only: '01'\ngrid: {SEED: [13]}")
    options = ["--out", str(tmp_path / "out"), "--scheduler", scheduler]
    found = CliRunner().invoke(main.app, ["sweep", str(path), *options])
    assert found.exit_code == 1
    assert "fer: SEED=13 failed: 01_toy.ipynb stopped in cell 3: ZeroDivisionError: thirteen" in found.output
    assert (tmp_path / "out" / "results.csv").is_file()


def test_by_default_processes_of_this_machine_do_the_work(tmp_path, project):
    # They do not see this test's project: what they say of it comes back as errors.
    wanted = grid(tmp_path, "only: '02'\ngrid: {SIZE: [1, 2]}")
    errors = sweep.run_sweep(wanted, tmp_path / "out", progress=False)
    assert set(errors) == {"SIZE=1", "SIZE=2"}
    assert all("there is no parameter 'SIZE' in 02_cleaning" in error for error in errors.values())


def test_a_scheduler_that_does_not_answer_is_one_line(tmp_path, project, monkeypatch):
    monkeypatch.setattr(sweep, "TIMEOUT_SECONDS", 0.2)
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(UserError, match=f"no Dask scheduler answers at {address}"):
            sweep.run_sweep(grid(tmp_path), tmp_path / "out", address, progress=False)


def test_without_dask_it_says_what_to_install():
    code = "import sys; sys.modules['distributed'] = None\nfrom fer_utils.cli.main import main\nmain()"
    found = subprocess.run([sys.executable, "-c", code, "sweep", "x.yaml"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "fer: a sweep needs Dask: install it with 'pip install -e .[scale]'\n"


def test_the_example_is_a_grid():
    root = profiles.notebook_folder().parent
    assert len(sweep.read_grid(root / "docs" / "sweep_example.yaml").runs) == 6


def test_unreadable_scores_are_left_out(tmp_path):
    (tmp_path / "SEED=1" / "runs").mkdir(parents=True)
    (tmp_path / "SEED=1" / sweep.PARAMETERS_FILE).write_text(json.dumps({"SEED": 1}))
    (tmp_path / "SEED=1" / "runs" / "metrics.json").write_text("{")
    assert sweep.collect(tmp_path).empty
    (tmp_path / "SEED=1" / sweep.PARAMETERS_FILE).write_text("{")
    assert sweep.collect(tmp_path).empty
