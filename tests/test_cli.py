"""The `fer` command: what it prints and how it ends."""

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers import png, write_zip
from PIL import Image

from fer_utils import EMOTIONS, cli
from fer_utils.dataset.download import PUBLISHED_COUNTS
from fer_utils.runner import NotebookFailed


@pytest.fixture
def fer(monkeypatch, capsys):
    """A function that runs the command and returns (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fer", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


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
        ("app", "--model", tmp_path / "m.keras"),
    ):
        code, out, err = fer(*arguments)
        assert code == 2, arguments
        assert err.startswith("fer: ") and err.count("\n") == 1, err


def test_bad_usage_is_code_2(fer):
    assert fer("data", "inof")[0] == 2
    assert fer("evaluate")[0] == 2


def test_failed_notebook_is_code_1(fer, monkeypatch):
    def fail(*_):
        raise NotebookFailed("03 stopped in cell 7")

    monkeypatch.setattr("fer_utils.runner.run_notebooks", fail)
    code, _, err = fer("run")
    assert code == 1 and "03 stopped in cell 7" in err


def test_predict_and_evaluate_with_a_saved_model(fer, tmp_path, files, tiny_model):
    tiny_model(compiled=False).save(tmp_path / "m.keras")
    Image.fromarray(np.zeros((48, 48), np.uint8)).save(tmp_path / "face.png")
    (tmp_path / "flat.png").write_bytes(png(np.full((200, 200), 9, np.uint8)))
    code, out, _ = fer(
        "predict", tmp_path / "face.png", tmp_path / "flat.png", "--model", tmp_path / "m.keras", "--json"
    )
    first, second = json.loads(out)
    assert code == 0 and first["image"].endswith("face.png") and second["faces"] == []
    assert first["faces"][0]["box"] == [0, 0, 48, 48]
    assert sum(first["faces"][0]["probabilities"].values()) == pytest.approx(1, abs=0.01)
    assert "face(s)" in fer("predict", tmp_path / "face.png", "--model", tmp_path / "m.keras")[1]

    data = write_zip(tmp_path / "a.zip", files)
    arguments = ("evaluate", "--model", tmp_path / "m.keras", "--data", data)
    content = json.loads(fer(*arguments, "--split", "PrivateTest", "--json")[1])
    assert content["n"] == 7 and content["split"] == "PrivateTest" and 0 <= content["accuracy"] <= 1
    assert {"accuracy_ci95", "macro_f1", "per_class", "ece", "confusion_matrix", "model"} <= set(content)
    code, out, _ = fer(*arguments)
    assert code == 0 and "PublicTest: accuracy" in out and "calibration" in out
    assert fer(*arguments, "--split", "holiday")[0] == 2


@pytest.mark.parametrize(
    "command", [[], ["run"], ["data"], ["data", "info"], ["data", "get"], ["predict"], ["evaluate"]]
)
def test_help_texts(command):
    found = subprocess.run(
        [sys.executable, "-m", "fer_utils", *command, "--help"], capture_output=True, text=True, check=True
    )
    assert "--help" in found.stdout and len(found.stdout) > 150
