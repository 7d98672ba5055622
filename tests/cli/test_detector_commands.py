"""`fer predict`, `fer evaluate` and `fer app`: what they print and how they end."""

import json
import socket

import numpy as np
import pytest
from helpers import picture, png, write_zip
from PIL import Image
from portraits import group_photo

from fer_utils import EMOTIONS
from fer_utils.dataset import load_dataset
from fer_utils.evaluation.scores import score


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
    code, out, err = fer("predict", photos / "group.jpg", "--json")
    (entry,) = json.loads(out)
    assert code == 0 and err == "" and list(entry) == ["image", "faces"] and len(entry["faces"]) == 5
    boxes = np.array([face["box"] for face in entry["faces"]])
    for nose in group_photo()[1]:
        assert ((boxes[:, :2] < nose) & (nose < boxes[:, :2] + boxes[:, 2:])).all(axis=1).sum() == 1
    for face in entry["faces"]:
        assert list(face) == ["box", "label", "probabilities", "unsure", "whole"] and list(face["probabilities"]) == [
            *EMOTIONS
        ]
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
    (tmp_path / "damaged.keras").write_bytes(b"PK\x03\x04")
    for name, message in (
        ("none.keras", "no such model"),
        ("m.onnx", "is not an ONNX model"),
        ("damaged.keras", "is not a Keras model"),
    ):
        model = tmp_path / name
        code, _, err = fer("app", "--model", model)
        assert code == 2 and message in err and err.count("\n") == 1
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = fer("app", "--port", port)
    assert code == 2 and f"port {port} (Address already in use)" in err


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
