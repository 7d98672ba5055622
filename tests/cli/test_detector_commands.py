"""`fer predict`, `fer evaluate` and `fer app`: what they print and how they end."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys

import cv2
import numpy as np
import pytest
from helpers import picture, png, write_zip
from PIL import Image
from portraits import admiral, astronaut, group_photo

from fer_utils import EMOTIONS
from fer_utils.dataset import load_dataset
from fer_utils.evaluation.scores import score


def lines(out: str) -> list[dict]:
    """Return what was printed as JSON, one object a line."""
    return [json.loads(line) for line in out.splitlines()]


def rows_of(path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


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
    (entry,) = lines(out)
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
    broken, face, missing, flat = lines(out)
    assert code == 2 and [entry["image"] for entry in lines(out)] == [str(path) for path in paths]
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
    broken, face = lines(out)
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


def test_predict_takes_folders_and_patterns(fer, photos):
    (photos / "deeper").mkdir()
    (photos / "deeper" / "two.png").write_bytes((photos / "face.png").read_bytes())
    (photos / "deeper" / "notes.txt").write_text("no picture")
    (photos / "__MACOSX").mkdir()
    (photos / "__MACOSX" / "._face.png").write_bytes(b"Finder's own")
    (photos / "zip.jpg").unlink()
    code, out, _ = fer("predict", photos, "--json")
    names = [entry["image"].removeprefix(str(photos))[1:].replace("\\", "/") for entry in lines(out)]
    assert code == 0 and names == ["deeper/two.png", "face.png", "flat.png", "group.jpg"]
    code, out, _ = fer("predict", photos / "f*.png", "--json")
    assert code == 0 and [entry["image"][-8:] for entry in lines(out)] == ["face.png", "flat.png"]
    (photos / "empty").mkdir()
    for nothing, message in ((photos / "*.gif", "no file matches"), (photos / "empty", "holds no picture")):
        code, out, err = fer("predict", nothing)
        assert (code, out) == (2, "") and message in err and err.count("\n") == 1


def test_predict_writes_a_table_that_no_spreadsheet_takes_for_formulas(fer, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos)
    (photos / "face.png").rename(photos / "=1+1.png")
    table = tmp_path / "faces.csv"
    assert fer("predict", "group.jpg", "flat.png", "zip.jpg", "=1+1.png", "--csv", table)[0] == 2
    rows = rows_of(table)
    assert [row["image"] for row in rows] == ["group.jpg"] * 5 + ["'=1+1.png"]
    assert [row["face"] for row in rows] == ["1", "2", "3", "4", "5", "1"]
    assert [row["whole"] for row in rows] == ["False"] * 5 + ["True"]
    for row in rows:
        given = {emotion: float(row[emotion]) for emotion in EMOTIONS}
        assert sum(given.values()) == pytest.approx(1, abs=0.001) and row["label"] == max(given, key=given.get)
    before = (photos / "group.jpg").read_bytes()
    for wrong in (photos / "group.jpg", tmp_path / "none" / "faces.csv"):
        code, _, err = fer("predict", "group.jpg", "--csv", wrong)
        assert code == 2 and err.count("\n") == 1 and (photos / "group.jpg").read_bytes() == before


def write_clip(path, n=50):
    """Write a clip of two people who move towards each other; the second comes after a third of it."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (640, 320))
    faces = [cv2.resize(portrait, (240, 240)) for portrait in (astronaut()[:400, 30:430], admiral()[60:460, 60:460])]
    for i in range(n):
        frame = np.full((320, 640, 3), 110, np.uint8)
        frame[40:280, i : i + 240] = faces[0]
        if i >= n // 3:
            frame[40:280, 400 - i : 640 - i] = faces[1]
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def test_predict_follows_the_faces_of_a_video(fer, tmp_path):
    clip, table = write_clip(tmp_path / "clip.mp4"), tmp_path / "faces.csv"
    code, out, err = fer("predict", clip, "--csv", table, "--save", tmp_path, "--every", 5)
    assert code == 0 and err == "" and "10 frame(s) looked at, 2 different face(s)" in out
    rows = rows_of(table)
    first, second = ([row for row in rows if row["face"] == who] for who in "12")
    assert [int(row["frame"]) for row in first] == list(range(0, 50, 5)) and 5 <= len(second) <= 7
    assert [float(row["seconds"]) for row in first] == pytest.approx([0.2 * i for i in range(10)])
    assert int(first[-1]["x"]) > int(first[0]["x"]) + 30 and int(second[-1]["x"]) < int(second[0]["x"]) - 15
    assert {row["label"] for row in first} == {"happy"}
    copy = cv2.VideoCapture(str(tmp_path / "clip_2.mp4"))
    assert copy.get(cv2.CAP_PROP_FRAME_COUNT) == 10 and copy.get(cv2.CAP_PROP_FPS) == pytest.approx(5)
    chart = Image.open(tmp_path / "clip_2_over_time.png")
    assert chart.width > 600 and len(set(chart.convert("RGB").resize((200, 100)).getdata())) > 100
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".mp4", ".mp4", ".png"], (
        "nothing half-written"
    )
    frames = lines(fer("predict", clip, "--json", "--every", 25)[1])
    assert [frame["frame"] for frame in frames] == [0, 25] and {face["face"] for face in frames[1]["faces"]} == {1, 2}


def test_a_video_that_cannot_be_read_is_one_line(fer, tmp_path):
    for name, content in (("a.mp4", b"\0\0\0\x20ftypisom" + bytes(100)), ("b.avi", b""), ("c.mkv", b"no video")):
        (tmp_path / name).write_bytes(content)
        code, out, err = fer("predict", tmp_path / name)
        assert code == 2 and "that OpenCV can read" in err.splitlines()[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal for one process")
def test_a_video_that_is_stopped_leaves_whole_files(tmp_path):
    clip, table = write_clip(tmp_path / "clip.mp4", 400), tmp_path / "faces.csv"
    command = [sys.executable, "-m", "fer_utils", "predict", clip, "--csv", table, "--save", tmp_path / "out", "--json"]
    process = subprocess.Popen([*command, "--every", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(5):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    n = len({row["frame"] for row in rows_of(table)})
    assert 5 <= n < 400
    copy = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    assert abs(copy.get(cv2.CAP_PROP_FRAME_COUNT) - n) <= 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip.mp4", "clip_over_time.png"]


@pytest.fixture
def read_otherwise(tmp_path, tiny_data):
    """A model that learned from 0..1 with its classes in alphabetical order, and data that it is right about."""
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()
    keras.utils.set_random_seed(0)
    images, labels = tiny_data
    layers = [keras.layers.AveragePooling2D(6), keras.layers.Flatten(), keras.layers.Dense(7, "softmax")]
    model = keras.Sequential([keras.Input((48, 48, 1)), *layers])
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    alphabetical = np.array([sorted(EMOTIONS).index(emotion) for emotion in EMOTIONS])
    model.fit(images[..., np.newaxis] / 255, alphabetical[labels], epochs=30, verbose=0)
    model.save(tmp_path / "m.keras")
    names = {f"test/{EMOTIONS[label]}/PublicTest_{i:08}.png": png(images[i]) for i, label in enumerate(labels)}
    return tmp_path / "m.keras", write_zip(tmp_path / "a.zip", names)


def test_a_model_with_other_classes_and_another_range_is_noticed_and_read_rightly(fer, read_otherwise):
    model, data = read_otherwise
    arguments = ("evaluate", "--model", model, "--data", data, "--json")
    code, out, err = fer(*arguments)
    assert code == 0 and json.loads(out)["accuracy"] < 0.8
    assert "--classes alphabetical" in err and "docs/teaching.md" in err
    code, out, err = fer(*arguments, "--classes", "alphabetical", "--scale", "1/255")
    assert json.loads(out)["accuracy"] > 0.95 and "Please note" not in err
    by_name = ("--classes", ",".join(sorted(EMOTIONS)), "--scale", "0.00392156862745098")
    assert json.loads(fer(*arguments, *by_name)[1])["accuracy"] > 0.95
    for wrong in (("--classes", "angry,happy"), ("--scale", "255th"), ("--scale", "0")):
        code, _, err = fer(*arguments, *wrong)
        assert code == 2 and err.count("\n") == 1
