"""The files of an archive: unusual ones are read, damaged and hostile ones cost one line."""

import io
import os
import re
import struct
import sys
import zipfile

import pytest
from helpers import picture, png, write_folder, write_zip

import fer_utils.dataset.archives  # noqa: F401
from fer_utils.audit import audit_files
from fer_utils.common.errors import UserError
from fer_utils.dataset import load_dataset
from fer_utils.dataset.files import iterate_files


def make(compression=zipfile.ZIP_DEFLATED, names=("b/2.png", "a/1.png", "c.txt"), **settings) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression, **settings) as archive:
        for i, name in enumerate(names):
            archive.writestr(name, png(picture(i)))
    return buffer.getvalue()


def encrypted() -> bytes:
    content = bytearray(make())
    place = content.rindex(b"PK\x01\x02")
    content[place + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_archives_are_read_all_the_same(tmp_path, files, compression):
    with zipfile.ZipFile(tmp_path / "odd.zip", "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    plain = load_dataset(write_zip(tmp_path / "plain.zip", files), progress=False)
    assert load_dataset(tmp_path / "odd.zip", progress=False).fingerprint == plain.fingerprint


def test_encrypted_file_is_skipped(tmp_path):
    (tmp_path / "a.zip").write_bytes(encrypted())
    assert dict(iterate_files(tmp_path / "a.zip"))["c.txt"] == b""


def test_an_archive_that_is_locked_altogether_says_so(tmp_path):
    content = bytearray(make())
    for place in [match.start() for match in re.finditer(b"PK\x01\x02", content)]:
        content[place + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match="locked with a password: unpack it and point to the folder"):
        load_dataset(tmp_path / "a.zip", progress=False)


@pytest.mark.parametrize("damage", ["content", "name", "signature", "checksum"])
def test_damaged_file_yields_nothing_and_the_others_stay(tmp_path, damage):
    content = bytearray(make())
    place = content.index(b"a/1.png") - 30
    if damage == "content":
        content[place + 60 : place + 80] = bytes(20)
    elif damage == "name":
        content[place + 30] = ord("x")
    elif damage == "signature":
        content[place] = 0
    else:
        directory = content.rindex(b"a/1.png") - 46
        struct.pack_into("<L", content, directory + 16, 1234)
    (tmp_path / "a.zip").write_bytes(content)
    found = dict(iterate_files(tmp_path / "a.zip"))
    assert found["a/1.png"] == b"" and found["b/2.png"] == png(picture(0)) and found["c.txt"] == png(picture(2))


def test_no_more_is_unpacked_than_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["fer_utils.dataset.archives"], "MOST_BYTES_PER_FILE", 1000)
    path = write_zip(tmp_path / "a.zip", {"small.txt": bytes(1000), "large.txt": bytes(1001)})
    assert dict(iterate_files(path)) == {"small.txt": bytes(1000), "large.txt": b""}


def test_csv_damaged_inside_a_zip_costs_one_line(tmp_path, csv_rows):
    path = write_zip(tmp_path / "a.zip", {"fer2013.csv": "\n".join(["emotion,pixels,Usage", *csv_rows]).encode()})
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="has a damaged fer2013.csv|not a readable CSV"):
        load_dataset(path, progress=False)


def test_pictures_that_were_skipped_leave_no_trace_in_the_fingerprint(tmp_path, files):
    sound = load_dataset(write_zip(tmp_path / "a.zip", files), progress=False)
    for bad in (b"", b"this is text", png(picture(0)[:40])):
        path = write_zip(tmp_path / "b.zip", {**files, "train/happy/Training_1.png": bad})
        dataset = load_dataset(path, cache=False, progress=False)
        assert len(dataset.skipped) == 1 and dataset.fingerprint == sound.fingerprint


def test_a_file_that_the_list_hides_is_noticed(tmp_path):
    content = bytearray(make())
    # The first entry's comment is now as long as the two entries after it.
    first = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", first + 1)
    end = content.rindex(b"PK\x05\x06")
    struct.pack_into("<H", content, first + 32, end - second)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match="it lists 1 files instead of 3"):
        load_dataset(tmp_path / "a.zip", progress=False)


def test_two_files_under_one_name_are_both_skipped(tmp_path, files):
    name = next(iter(files))
    path = write_zip(tmp_path / "a.zip", files)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(name, png(picture(77)))
    dataset = load_dataset(path, progress=False)
    assert len(dataset) == 48
    assert dataset.skipped == [(name, "two files have this name")] * 2


def zip_with(path, entries) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo("x")
            entry.filename = name  # set apart: the constructor would tidy it
            archive.writestr(entry, content)


def test_backslashes_as_windows_writes_them(tmp_path, files):
    entries = {"train\\": b""} | {name.replace("/", "\\"): content for name, content in files.items()}
    zip_with(tmp_path / "a.zip", entries)
    dataset = load_dataset(tmp_path / "a.zip", progress=False)
    assert dataset.names.tolist() == sorted(files) and dataset.skipped == []


def test_what_file_managers_leave_behind_is_no_file(tmp_path, files):
    twins = {
        f"__MACOSX/{name.rpartition('/')[0]}/._{name.rpartition('/')[2]}": b"\0\5\x16\7" + bytes(60) for name in files
    }
    litter = {"train/.DS_Store": b"x", "train/happy/Thumbs.db": b"x", "Desktop.ini": b"x", "train/sad/._a.jpg": b"x"}
    for path in (
        write_zip(tmp_path / "a.zip", files | twins | litter),
        write_folder(tmp_path / "f", files | twins | litter),
    ):
        dataset = load_dataset(path, progress=False)
        assert len(dataset) == 49 and dataset.skipped == [] and dataset.notes == []
        assert len(audit_files(dataset, progress=False)) == 49


def test_names_that_are_not_utf8(tmp_path, files):
    folder = write_folder(tmp_path / "f", files)
    try:
        with open(os.fsencode(folder) + b"/train/happy/Training_caf\xe9.png", "wb") as file:
            file.write(png(picture(5)))
    except OSError:
        pytest.skip("this system's names are UTF-8")
    for _ in range(2):
        assert len(load_dataset(folder, progress=False)) == 50
