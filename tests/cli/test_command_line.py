"""The `fer` command: what it prints and how it ends."""

import errno
import json

import pytest
import typer
from helpers import write_zip

from fer_utils import EMOTIONS
from fer_utils.cli.main import app
from fer_utils.common.errors import WentWrong
from fer_utils.dataset import load_dataset
from fer_utils.dataset.download import PUBLISHED_COUNTS
from fer_utils.runner.series import NotebookFailed


def test_data_info_prints_a_table(fer, tmp_path, files):
    code, out, _ = fer("data", "info", write_zip(tmp_path / "a.zip", {**files, "train/sad/x.txt": b"x"}))
    assert code == 0
    assert "Training" in out and "disgust" in out and "35" in out
    assert "skipped train/sad/x.txt: extension '.txt'" in out


def test_data_info_as_json(fer, tmp_path, files):
    path = write_zip(tmp_path / "a.zip", {**files, "train/sad/x.txt": b"x"})
    code, out, err = fer("data", "info", path, "--json")
    content = json.loads(out)
    assert code == 0 and err == ""
    assert content["source"] == str(path) and content["form"] == "zip" and content["total"] == 49
    assert content["counts"]["PublicTest"] == dict.fromkeys(EMOTIONS, 1)
    assert content["skipped"][0]["name"] == "train/sad/x.txt"


@pytest.mark.fer2013
def test_data_info_of_the_real_data(fer, fer2013):
    content = json.loads(fer("data", "info", fer2013, "--json")[1])
    for usage, counts in content["counts"].items():
        assert tuple(counts.values()) == PUBLISHED_COUNTS[usage]
    assert content["total"] == sum(sum(PUBLISHED_COUNTS[usage]) for usage in content["counts"])


def test_bad_input_is_one_line_on_stderr_and_code_2(fer, tmp_path):
    (tmp_path / "a.zip").write_bytes(b"x")
    for arguments in (
        ("data", "info", tmp_path / "none.zip"),
        ("data", "info", tmp_path / "a.zip"),
        ("predict", tmp_path / "none.jpg", "--model", tmp_path / "m.keras"),
        ("evaluate", "--model", tmp_path / "m.keras", "--data", "sample"),
        ("run", "--profile", "nonsense"),
        ("run", "-p", "EPOCHS"),
        ("run", "--only", "01", "-p", "EPOCHS=1"),
        ("app", "--model", tmp_path / "m.keras"),
    ):
        code, out, err = fer(*arguments)
        assert code == 2, arguments
        assert err.startswith("fer: ") and err.count("\n") == 1, err


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_long_profiles_do_not_train_on_the_sample_unasked(fer, monkeypatch, profile):
    monkeypatch.setattr("fer_utils.runner.series.run_notebooks", lambda *_, **__: "index.html")
    code, _, err = fer("run", "--profile", profile)
    assert code == 2 and "fer data get" in err and "-p DATA=sample" in err
    assert fer("run", "--profile", profile, "-p", "DATA=sample")[0] == 0
    code, _, err = fer("run", "-p", "DATA=nowhere.zip")
    assert code == 2 and "does not exist: nowhere.zip" in err


def test_what_the_system_refuses_is_one_line(fer, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "/locked")

    monkeypatch.setattr("fer_utils.runner.series.run_notebooks", refuse)
    code, _, err = fer("run")
    assert (code, err) == (2, "fer: /locked: Permission denied\n")


def test_what_goes_wrong_unasked_is_code_1(fer, monkeypatch):
    def fail(*_, **__):
        raise WentWrong("the server hung up")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "/data")

    for what, message in ((fail, "the server hung up"), (full, "/data: No space left on device")):
        monkeypatch.setattr("fer_utils.runner.series.run_notebooks", what)
        assert fer("run")[::2] == (1, f"fer: {message}\n")


def test_json_about_the_sample_says_so_on_stderr(fer):
    code, out, err = fer("data", "info", "sample", "--json")
    assert code == 0 and json.loads(out)["is_sample"] is True
    assert err.startswith("Embedded sample:") and err.count("\n") == 1


def test_a_download_can_be_told_as_json(fer, monkeypatch, tmp_path, files):
    copy = load_dataset(write_zip(tmp_path / "a.zip", files), progress=False)
    monkeypatch.setattr("fer_utils.dataset.download", lambda to, progress: copy)
    assert json.loads(fer("data", "get", "--json")[1])["fingerprint"] == copy.fingerprint
    assert "the counts are the published ones" in fer("data", "get")[1]


def test_bad_usage_is_code_2(fer):
    assert fer("results", "show", "--split", "publictest")[0] == 2
    assert fer("app", "--port", "99999")[0] == 2
    assert fer("data", "inof")[0] == 2
    assert fer("evaluate", "--modle", "shipped")[0] == 2


def test_failed_notebook_is_code_1(fer, monkeypatch):
    def fail(*_, **__):
        raise NotebookFailed("03 stopped in cell 7")

    monkeypatch.setattr("fer_utils.runner.series.run_notebooks", fail)
    code, _, err = fer("run")
    assert code == 1 and "03 stopped in cell 7" in err


def every_command(command, path=("fer",)):
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from every_command(below, (*path, name))


def test_help_says_what_each_command_and_each_option_is_for():
    found = dict(every_command(typer.main.get_command(app)))
    assert {("fer", name) for name in ("run", "data", "predict", "evaluate", "app", "results", "sweep")} <= set(found)
    without = [" ".join(path) for path, command in found.items() if not command.help]
    options = [(*path, each.name) for path, command in found.items() for each in command.params if not each.help]
    assert without + options == []
