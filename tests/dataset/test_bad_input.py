"""Whatever is wrong with the data costs one clear line, and nothing else."""

import io
import struct
import sys
import tarfile
import zipfile

import cv2
import numpy as np
import pytest
from helpers import csv_row, picture, png, write_csv, write_folder, write_tar, write_zip

from fer_utils.common.errors import UserError
from fer_utils.dataset import load_dataset
from fer_utils.dataset.archives import MOST_BYTES_PER_FILE


def failure(path) -> str:
    with pytest.raises(UserError) as caught:
        load_dataset(path, progress=False)
    message = str(caught.value)
    assert "\n" not in message
    assert ":" in message, "the next step follows a colon"
    return message


def skipped(path) -> dict[str, str]:
    return {item.name: item.reason for item in load_dataset(path, progress=False).skipped}


def test_no_such_path(tmp_path):
    assert "does not exist" in failure(tmp_path / "nothing.zip")


def test_unknown_kind_of_file(tmp_path):
    (tmp_path / "faces.rar").write_bytes(b"Rar!")
    assert "is not a folder, .zip, .csv or .tar.gz" in failure(tmp_path / "faces.rar")


def test_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no FER-2013 image among its 0 files" in failure(tmp_path / "empty")


def test_folder_of_something_else(tmp_path):
    folder = write_folder(tmp_path / "f", {"holiday/beach.jpg": png(picture(0))})
    assert "holiday/beach.jpg: not in train/<emotion>/" in failure(folder)


@pytest.mark.parametrize("share", [0.5, 0.98])
def test_zip_cut_short(tmp_path, files, share):
    path = write_zip(tmp_path / "a.zip", files)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "cut short or not a zip" in failure(path)


def test_zip_that_is_none(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"<html>please sign in</html>")
    assert "cut short or not a zip" in failure(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["../../etc/train/happy/x.png", "/train/happy/x.png", "C:/train/happy/x.png"])
def test_zip_with_entries_outside(tmp_path, files, name):
    assert "points outside" in failure(write_zip(tmp_path / "a.zip", {**files, name: png(picture(0))}))


def test_zip_bomb_by_declared_size(tmp_path, files, monkeypatch):
    monkeypatch.setattr(sys.modules["fer_utils.dataset.archives"], "MOST_BYTES_OF_PICTURES", 100_000)
    path = write_zip(tmp_path / "a.zip", {**files, "train/happy/Training_9.png": bytes(200_000)})
    assert "far more than FER-2013" in failure(path)


def test_zip_bomb_with_too_many_files(tmp_path, files, monkeypatch):
    monkeypatch.setattr(sys.modules["fer_utils.dataset.archives"], "MOST_FILES", 10)
    assert "far more than FER-2013" in failure(write_zip(tmp_path / "a.zip", files))


def test_huge_file_is_not_unpacked(tmp_path, files):
    huge = "train/happy/Training_99999999.png"
    path = write_zip(tmp_path / "a.zip", {**files, huge: bytes(MOST_BYTES_PER_FILE + 10)})
    assert skipped(path) == {huge: "empty, or cannot be read"}


def test_zip_entry_with_a_lying_size_and_damaged_bytes(tmp_path, files):
    path = write_zip(tmp_path / "a.zip", files)
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[3]
    content = bytearray(path.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    content[start + 5 : start + 40] = bytes(35)
    place = content.rindex(info.filename.encode()) - 46
    content[place + 24 : place + 28] = struct.pack("<I", 10)
    path.write_bytes(content)
    assert set(skipped(path)) == {info.filename}


def test_wrong_size_empty_and_unreadable_files_are_listed(tmp_path, files):
    jpeg = cv2.imencode(".jpg", picture(1))[1].tobytes()
    tiff = cv2.imencode(".tiff", picture(1).astype(np.float32))[1].tobytes()
    bad = {
        "train/happy/Training_1.png": png(np.zeros((64, 50), np.uint8)),
        "train/happy/Training_2.jpg": b"",
        "train/happy/Training_3.jpg": b"this is text",
        "train/happy/Training_5.jpg": jpeg[: len(jpeg) // 2] + bytes(len(jpeg) // 2),
        "train/happy/Training_6.png": tiff,
        "train/happy/notes.txt": b"hello",
        "train/bored/Training_4.png": png(picture(4)),
        "readme.png": png(picture(5)),
    }
    for path in (write_zip(tmp_path / "a.zip", {**files, **bad}), write_folder(tmp_path / "f", {**files, **bad})):
        assert len(load_dataset(path, progress=False)) == len(files)
        found = skipped(path)
        assert found["train/happy/Training_1.png"] == "50×64 pixels instead of 48×48"
        assert found["train/happy/Training_2.jpg"] == "empty, or cannot be read"
        assert found["train/happy/Training_3.jpg"] == "not a readable image"
        assert found["train/happy/Training_5.jpg"] == "cut short"
        assert found["train/happy/Training_6.png"] == "not a readable image"
        assert found["train/happy/notes.txt"].startswith("extension '.txt'")
        assert found["train/bored/Training_4.png"] == "unknown emotion folder 'bored'"
        assert found["readme.png"].startswith("not in train/")
        assert set(found) == set(bad)


def test_csv_with_missing_columns(tmp_path):
    path = write_csv(tmp_path / "a.csv", ["3,Training"], "emotion,Usage")
    assert "lacks the column pixels" in failure(path)


def test_csv_that_is_empty_or_binary(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"")
    assert "not a readable CSV" in failure(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x01" * 50)
    assert "not a readable CSV" in failure(tmp_path / "b.csv")


def test_csv_rows_that_are_wrong_are_listed(tmp_path):
    good = csv_row(3, picture(0), "Training")
    pixels = good.split(",")[1]
    rows = [
        good,
        f"3,{pixels.rsplit(' ', 1)[0]},Training",
        f"7,{pixels},Training",
        f"happy,{pixels},Training",
        f"3,{pixels} 12,Training",
        f"3,{pixels.rsplit(' ', 1)[0]} 256,Training",
        f"3,{pixels.rsplit(' ', 1)[0]} x,Training",
        f"3,{pixels},Holiday",
        f"3,{pixels.rsplit(' ', 1)[0]} -1,Training",
        f"2.5,{pixels},Training",
        csv_row(6, picture(1), "PublicTest"),
    ]
    path = write_csv(tmp_path / "a.csv", rows)
    dataset = load_dataset(path, progress=False)
    assert dataset.names.tolist() == ["row 1", "row 11"]
    np.testing.assert_array_equal(dataset.images[1], picture(1))
    reasons = skipped(path)
    assert len(reasons) == 9
    assert reasons["row 2"] == reasons["row 5"] == reasons["row 6"] == "pixels are not 2304 numbers from 0 to 255"
    assert reasons["row 3"] == "label '7' is not 0 to 6"
    assert reasons["row 4"] == "label 'happy' is not 0 to 6"
    assert reasons["row 8"].startswith("usage 'Holiday'")


def test_csv_without_any_good_row(tmp_path):
    assert "no usable row (first: row 1: label '9'" in failure(write_csv(tmp_path / "a.csv", ["9,1 2 3,Training"]))


def test_tar_cut_short_or_without_table(tmp_path, csv_rows):
    path = write_tar(tmp_path / "a.tar.gz", write_csv(tmp_path / "t.csv", csv_rows), "fer2013/fer2013.csv")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "cut short" in failure(path)
    (tmp_path / "x.txt").write_text("no table")
    assert "no FER-2013 image among its 1 files (first: x.txt" in failure(
        write_tar(tmp_path / "b.tar.gz", tmp_path / "x.txt", "x.txt")
    )


def test_tar_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["fer_utils.dataset.archives"], "MOST_BYTES_OF_TABLE", 1000)
    path = tmp_path / "bomb.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("fer2013.csv")
        info.size = 5000
        archive.addfile(info, io.BytesIO(bytes(5000)))
    assert "far more than FER-2013" in failure(path)
