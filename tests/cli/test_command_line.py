"""The `fer` command: what it prints and how it ends."""

import errno
import json
import socket
import subprocess
import sys

import numpy as np
import pytest
from helpers import picture, png, write_zip
from PIL import Image
from portraits import group_photo

from fer_utils import EMOTIONS
from fer_utils.cli import main
from fer_utils.common.errors import WentWrong
from fer_utils.common.stored_weights import ONNX_FILE, assets
from fer_utils.dataset import load_dataset
from fer_utils.dataset.download import PUBLISHED_COUNTS
from fer_utils.evaluation.scores import score
from fer_utils.runner.series import NotebookFailed


@pytest.fixture
def fer(monkeypatch, capsys):
    """A function that runs the command and returns (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fer", *map(str, arguments)])
        code = 0
        try:
            main.main()
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
        ("run", "--only", "01", "-p", "EPOCHS=1"),
        ("app", "--model", tmp_path / "m.keras"),
    ):
        code, out, err = fer(*arguments)
        assert code == 2, arguments
        assert err.startswith("fer: ") and err.count("\n") == 1, err


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_long_profiles_do_not_train_on_the_sample_unasked(fer, monkeypatch, profile):
    monkeypatch.setattr("fer_utils.runner.run_notebooks", lambda *_, **__: "index.html")
    code, _, err = fer("run", "--profile", profile)
    assert code == 2 and "fer data get" in err and "-p DATA=sample" in err
    assert fer("run", "--profile", profile, "-p", "DATA=sample")[0] == 0
    code, _, err = fer("run", "-p", "DATA=nowhere.zip")
    assert code == 2 and "does not exist: nowhere.zip" in err


def test_what_the_system_refuses_is_one_line(fer, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "/locked")

    monkeypatch.setattr("fer_utils.runner.run_notebooks", refuse)
    code, _, err = fer("run")
    assert (code, err) == (2, "fer: /locked: Permission denied\n")


def test_what_goes_wrong_unasked_is_code_1(fer, monkeypatch):
    def fail(*_, **__):
        raise WentWrong("the server hung up")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "/data")

    for what, message in ((fail, "the server hung up"), (full, "/data: No space left on device")):
        monkeypatch.setattr("fer_utils.runner.run_notebooks", what)
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

    monkeypatch.setattr("fer_utils.runner.run_notebooks", fail)
    code, _, err = fer("run")
    assert code == 1 and "03 stopped in cell 7" in err


@pytest.fixture
def photos(tmp_path):
    """A group of five, a face of FER-2013's size, a picture without a face, and a file that is no picture."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(group_photo()[0]).save(folder / "group.jpg", quality=95)
    Image.fromarray(picture(1)).save(folder / "face.png")
    (folder / "flat.png").write_bytes(png(np.full((200, 200), 9, np.uint8)))
    (folder / "zip.jpg").write_bytes(b"PK\x03\x04" + bytes(100))
    return folder


def test_predict_finds_each_face_of_a_group_once(fer, photos):
    if not (assets() / ONNX_FILE).is_file():
        pytest.skip("the package holds no model yet")
    code, out, err = fer("predict", photos / "group.jpg", "--json")
    (entry,) = json.loads(out)
    assert code == 0 and err == "" and list(entry) == ["image", "faces"] and len(entry["faces"]) == 5
    boxes = np.array([face["box"] for face in entry["faces"]])
    for nose in group_photo()[1]:
        assert ((boxes[:, :2] < nose) & (nose < boxes[:, :2] + boxes[:, 2:])).all(axis=1).sum() == 1
    for face in entry["faces"]:
        assert list(face) == ["box", "label", "probabilities", "unsure"] and list(face["probabilities"]) == [*EMOTIONS]
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=0.001)
    assert sum(face["label"] == "happy" for face in entry["faces"]) == 3, "the astronaut smiles, thrice"


def test_predict_answers_the_others_when_one_cannot_be_opened(fer, photos, tmp_path, tiny_model):
    tiny_model(compiled=False).save(tmp_path / "m.keras")
    paths = [photos / name for name in ("zip.jpg", "face.png", "none.jpg", "flat.png")]
    code, out, err = fer("predict", *paths, "--model", tmp_path / "m.keras", "--json")
    broken, face, missing, flat = json.loads(out)
    assert code == 2 and [entry["image"] for entry in json.loads(out)] == [str(path) for path in paths]
    assert "is a zip archive" in broken["error"] and "no such file" in missing["error"]
    assert broken["faces"] == missing["faces"] == flat["faces"] == [] and "error" not in flat
    assert face["faces"][0]["box"] == [0, 0, 48, 48]
    assert [line.startswith("fer: ") for line in err.splitlines()] == [True, True]

    code, out, err = fer("predict", *paths, "--model", tmp_path / "m.keras")
    assert code == 2 and "face.png: 1 face(s)" in out and "flat.png: 0 face(s)" in out and "zip" not in out
    assert fer("predict", paths[1], "--model", tmp_path / "m.keras")[0] == 0


def test_predict_answers_the_others_whatever_is_wrong_with_one(fer, photos, monkeypatch):
    from fer_utils.detector.detector import EmotionDetector

    def answer(self, photo):
        if photo.size[0] > 100:
            raise ArithmeticError("unheard of")
        return []

    monkeypatch.setattr(EmotionDetector, "__call__", answer)
    code, out, err = fer("predict", photos / "group.jpg", photos / "face.png", "--json")
    broken, face = json.loads(out)
    assert code == 2 and "group.jpg: unheard of" in broken["error"] and "error" not in face and "fer: " in err


def test_predict_saves_annotated_copies_and_never_over_a_photo(fer, photos, tmp_path, tiny_model):
    tiny_model(compiled=False).save(tmp_path / "m.keras")
    before = (photos / "face.png").read_bytes()
    arguments = ("predict", photos / "face.png", photos / "group.jpg", "--model", tmp_path / "m.keras", "--save")
    assert fer(*arguments, photos)[0] == 0
    assert (photos / "face.png").read_bytes() == before
    assert Image.open(photos / "face_2.png").mode == "RGB" and Image.open(photos / "group.png").size == (1400, 900)
    assert fer(*arguments, tmp_path / "new" / "annotated")[0] == 0
    assert sorted(path.name for path in (tmp_path / "new" / "annotated").iterdir()) == ["face.png", "group.png"]


def test_app_says_what_is_wrong_before_it_starts(fer, tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"no model")
    for model, message in ((tmp_path / "none.keras", "no such model"), (tmp_path / "m.onnx", "is not an ONNX model")):
        code, _, err = fer("app", "--model", model)
        assert code == 2 and message in err and err.count("\n") == 1
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "m.keras").write_bytes(b"looked at when the page opens")
        code, _, err = fer("app", "--model", tmp_path / "m.keras", "--port", port)
    assert code == 2 and f"port {port} is taken" in err


def test_evaluate_with_a_saved_model(fer, tmp_path, files, tiny_model):
    tiny_model(compiled=False).save(tmp_path / "m.keras")
    data = write_zip(tmp_path / "a.zip", files)
    arguments = ("evaluate", "--model", tmp_path / "m.keras", "--data", data)
    content = json.loads(fer(*arguments, "--split", "PrivateTest", "--json")[1])
    assert content["n"] == 7 and content["split"] == "PrivateTest" and 0 <= content["accuracy"] <= 1
    assert {"accuracy_ci95", "macro_f1", "per_class", "ece", "confusion_matrix", "model"} <= set(content)
    assert 0 < content["ece_if_calibrated"][0] < content["ece_if_calibrated"][1] < 1
    assert content["data"]["is_sample"] is False and content["data"]["source"] == str(data)
    code, out, _ = fer(*arguments)
    assert code == 0 and "PublicTest: accuracy" in out and "chance alone would make it" in out
    assert fer(*arguments, "--split", "holiday")[0] == 2


def test_evaluate_averages_with_the_mirror_image_if_asked(fer, tmp_path, files, tiny_model):
    model = tiny_model(compiled=False)
    model.save(tmp_path / "m.keras")
    data = write_zip(tmp_path / "a.zip", files)
    arguments = ("evaluate", "--model", tmp_path / "m.keras", "--data", data)
    once, twice = (json.loads(fer(*arguments, "--json", *more)[1]) for more in ((), ("--mirror",)))
    assert (once["mirror"], twice["mirror"]) == (False, True)
    images, labels = load_dataset(data, progress=False).subset("PublicTest")
    logits = [np.log(model.predict(view[..., np.newaxis], verbose=0)) for view in (images, images[:, :, ::-1])]
    averaged = np.exp((logits[0] + logits[1]) / 2)
    averaged /= averaged.sum(axis=1, keepdims=True)
    assert twice["ece"] == pytest.approx(score(labels, averaged, "PublicTest")["ece"], abs=1e-5)
    assert twice["ece"] != pytest.approx(once["ece"], abs=1e-4), "the two views are told apart"
    assert "with the mirror images, PublicTest" in fer(*arguments, "--mirror")[1]


@pytest.mark.parametrize(
    "command", [[], ["run"], ["data"], ["data", "info"], ["data", "get"], ["predict"], ["evaluate"], ["app"]]
)
def test_help_texts(command):
    found = subprocess.run(
        [sys.executable, "-m", "fer_utils", *command, "--help"], capture_output=True, text=True, check=True
    )
    assert "--help" in found.stdout and len(found.stdout) > 150
