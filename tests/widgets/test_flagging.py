"""What Flag stores: the picture without its file's notes, the prediction, the person's remark."""

import csv

import numpy as np
import pytest
from PIL import Image

from fer_utils import EMOTIONS
from fer_utils.detector.detector import Face
from fer_utils.detector.photos import open_photo
from fer_utils.widgets.flagging import CORRECTIONS, flag, flagged_folder


@pytest.fixture
def photo(tmp_path):
    """A photo whose file names a place."""
    exif = Image.Exif()
    exif[0x010F] = "a camera's maker"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)).save(
        tmp_path / "private name.png", exif=exif
    )
    return open_photo(tmp_path / "private name.png")


@pytest.fixture
def face():
    return Face((1, 2, 30, 40), np.array([0, 0, 0, 0.9, 0.1, 0, 0], np.float32))


def rows(folder):
    with (folder / "flagged.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_picture_prediction_and_remark_are_stored(photo, face, tmp_path):
    folder = tmp_path / "new" / "flagged"
    path = flag(photo, [face], 1, "sad", "a model", folder)
    assert path.parent == folder
    with Image.open(path) as kept:
        np.testing.assert_array_equal(np.asarray(kept), photo.pixels)
        assert not kept.getexif() and "private" not in path.name
    (row,) = rows(folder)
    assert row["image"] == path.name and row["predicted"] == "happy" and row["correction"] == "sad"
    assert [row[name] for name in ("face", "x", "y", "width", "height")] == ["1", "1", "2", "30", "40"]
    assert [float(row[emotion]) for emotion in EMOTIONS] == pytest.approx(face.probabilities)
    assert row["model"] == "a model" and row["unsure"] == "False" and row["time"].endswith("+00:00")


def test_a_photo_is_stored_once_and_every_remark_is_kept(photo, face, tmp_path):
    flag(photo, [face], 1, "sad", "m", tmp_path / "f")
    flag(photo, [face], 1, "cannot tell", "m", tmp_path / "f")
    flag(photo, [face], None, "a face was missed", "m", tmp_path / "f")
    assert len(list((tmp_path / "f").glob("*.png"))) == 1
    assert [row["correction"] for row in rows(tmp_path / "f")] == ["sad", "cannot tell", "a face was missed"]
    assert rows(tmp_path / "f")[2]["face"] == ""


def test_the_box_belongs_to_the_picture_that_is_kept(tmp_path):
    photo = open_photo(np.zeros((3000, 4000, 3), np.uint8))
    flag(photo, [Face((400, 800, 1200, 1600), np.full(7, 1 / 7))], 1, "sad", "m", tmp_path)
    (row,) = rows(tmp_path)
    assert int(row["x"]) == round(400 * 1920 / 4000) and int(row["height"]) == round(1600 * 1920 / 4000)


def test_corrections_offer_every_emotion_and_a_way_out():
    assert set(EMOTIONS) < set(CORRECTIONS) and "cannot tell" in CORRECTIONS


def test_the_folder_is_one_that_git_ignores(monkeypatch, tmp_path):
    monkeypatch.delenv("FER_FLAGGED", raising=False)
    assert flagged_folder().parts[-2:] == ("data", "flagged")
    root = flagged_folder().parents[1]
    if (root / ".gitignore").is_file():
        lines = (root / ".gitignore").read_text().splitlines()
        assert "/data/*" in lines and not any("flagged" in line for line in lines if line.startswith("!"))
    monkeypatch.setenv("FER_FLAGGED", str(tmp_path))
    assert flagged_folder() == tmp_path
