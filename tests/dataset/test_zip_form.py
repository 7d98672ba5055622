"""The fast way through a zip gives what zipfile gives, and leaves to zipfile what it does not know."""

import io
import re
import struct
import sys
import zipfile

import pytest
from helpers import picture, png, write_zip

import fer_utils.dataset.files  # noqa: F401
import fer_utils.dataset.zip_form  # noqa: F401
from fer_utils.common.errors import UserError
from fer_utils.dataset import load_dataset, zip_form
from fer_utils.dataset.files import iterate_files


def members_of(content: bytes):
    return zip_form.list_members(io.BytesIO(content))


def make(compression=zipfile.ZIP_DEFLATED, names=("b/2.png", "a/1.png", "c.txt"), **settings) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression, **settings) as archive:
        for i, name in enumerate(names):
            archive.writestr(name, png(picture(i)))
    return buffer.getvalue()


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_plain_archives_are_read_as_zipfile_reads_them(tmp_path, compression):
    content = make(compression)
    found = members_of(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert [member.filename for member in found] == archive.namelist()
        for member, info in zip(found, archive.infolist(), strict=True):
            assert all(getattr(member, name) == getattr(info, name) for name in member._fields)
        expected = {name: archive.read(name) for name in archive.namelist()}
    (tmp_path / "a.zip").write_bytes(content)
    assert dict(iterate_files(tmp_path / "a.zip")) == expected


def test_files_far_apart_are_read_one_by_one(monkeypatch):
    monkeypatch.setattr(sys.modules["fer_utils.dataset.zip_form"], "SMALLEST_WIDE", 10)
    stream = io.BytesIO(make(zipfile.ZIP_STORED, [f"{i}.png" for i in range(100)]))
    found = zip_form.list_members(stream)
    pieces = zip_form.fetch(stream, [found[99], found[0]])
    assert len(pieces) == 2
    assert zip_form.unpack(pieces, 10_000) == [png(picture(99)), png(picture(0))]


def zip64() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a.png", "w", force_zip64=True) as file:
        file.write(png(picture(0)))
    content = bytearray(buffer.getvalue())
    # As if the size stood in the extra field only.
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = b"\xff" * 4
    return bytes(content)


def encrypted() -> bytes:
    content = bytearray(make())
    place = content.rindex(b"PK\x01\x02")
    content[place + 8] |= 1
    return bytes(content)


def overlapping() -> bytes:
    content = bytearray(make())
    places = [content.index(b"PK\x01\x02")]
    places.append(content.index(b"PK\x01\x02", places[0] + 1))
    content[places[1] + 42 : places[1] + 46] = content[places[0] + 42 : places[0] + 46]
    return bytes(content)


UNUSUAL = {
    "something before the archive": lambda: b"#!/bin/sh\n" + make(),
    "bytes after it": lambda: make() + b"x",
    "names that are not ASCII": lambda: make(names=("Fröhlich.png",)),
    "another compression": lambda: make(zipfile.ZIP_BZIP2),
    "sizes in the extra field": zip64,
    "an encrypted file": encrypted,
    "two files in one place": overlapping,
    "directory cut short": lambda: make()[:-30] + make()[-22:],
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_archives_are_left_to_zipfile(kind):
    assert members_of(UNUSUAL[kind]()) is None


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
    monkeypatch.setattr(sys.modules["fer_utils.dataset.files"], "MOST_BYTES_PER_FILE", 1000)
    path = write_zip(tmp_path / "a.zip", {"small.txt": bytes(1000), "large.txt": bytes(1001)})
    assert dict(iterate_files(path)) == {"small.txt": bytes(1000), "large.txt": b""}


def test_csv_damaged_inside_a_zip_costs_one_line(tmp_path, csv_rows):
    path = write_zip(tmp_path / "a.zip", {"fer2013.csv": "\n".join(["emotion,pixels,Usage", *csv_rows]).encode()})
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="has a damaged fer2013.csv"):
        load_dataset(path, progress=False)


def test_pictures_that_were_skipped_leave_no_trace_in_the_fingerprint(tmp_path, files):
    sound = load_dataset(write_zip(tmp_path / "a.zip", files), progress=False)
    for bad in (b"", b"this is text", png(picture(0)[:40])):
        path = write_zip(tmp_path / "b.zip", {**files, "train/happy/Training_1.png": bad})
        dataset = load_dataset(path, cache=False, progress=False)
        assert len(dataset.skipped) == 1 and dataset.fingerprint == sound.fingerprint
