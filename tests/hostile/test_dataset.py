"""Whatever is done to a copy of the data: it is refused in one line, or what is read is what was there."""

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import bombs
import numpy as np
import pytest
from helpers import csv_row, picture, png, write_csv, write_folder, write_tar, write_zip

from fer_utils import EMOTIONS, USAGES
from fer_utils.common.errors import UserError
from fer_utils.common.paths import cache_folder
from fer_utils.dataset import load_dataset
from fer_utils.dataset.cache import cache_key, load_cached

few_and_many = pytest.mark.parametrize("seeds", [range(60), pytest.param(range(60, 2060), marks=pytest.mark.long)])

MOST_SECONDS = 5

MOST_MIB = 500


@pytest.fixture
def files() -> dict[str, bytes]:
    """A small sound copy: two pictures of each emotion, by path."""
    found = {}
    for number in range(14):
        usage = USAGES[number // 7]
        folder = "train" if usage == "Training" else "test"
        found[f"{folder}/{EMOTIONS[number % 7]}/{usage}_{number:08}.png"] = png(picture(number))
    return found


def mutated(content: bytes, seed: int) -> bytes:
    """Flip a bit, overwrite, drop, double or blank a stretch, or cut the end off."""
    generator = np.random.default_rng(seed)
    found = bytearray(content)
    place, length = int(generator.integers(len(found))), int(generator.integers(1, 40))
    way = generator.integers(7)
    if way <= 1:
        found[place] ^= 1 << int(generator.integers(8))
    elif way == 2:
        found[place : place + length] = generator.bytes(length)
    elif way == 3:
        del found[place : place + length]
    elif way == 4:
        found[place:place] = found[place : place + length]
    elif way == 5:
        found[place : place + length] = bytes(len(found[place : place + length]))
    else:
        del found[place:]
    return bytes(found)


def check(path: Path, whole) -> str:
    """Assert that a copy is refused in one line, or read rightly as far as it is read; return which of them."""
    try:
        found = load_dataset(path, cache=False, progress=False)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 600
        return "refused"
    rows = {name: row for row, name in enumerate(whole.names)}
    for at, name in enumerate(found.names):
        assert name in rows, f"{name} was not there"
        np.testing.assert_array_equal(found.images[at], whole.images[rows[name]], err_msg=name)
        assert (found.labels[at], found.usage[at]) == (whole.labels[rows[name]], whole.usage[rows[name]]), name
    assert len(found) + len(found.skipped) >= len(whole), "pictures were lost without a word"
    return "read whole" if len(found) == len(whole) else "read in part"


@few_and_many
def test_damaged_zips(tmp_path, files, seeds):
    path = write_zip(tmp_path / "a.zip", files)
    whole, content = load_dataset(path, progress=False), path.read_bytes()
    answers = set()
    for seed in seeds:
        path.write_bytes(mutated(content, seed))
        answers.add(check(path, whole))
    assert {"refused", "read in part"} <= answers


@few_and_many
@pytest.mark.parametrize("inside", ["table", "pictures"])
def test_damaged_tars(tmp_path, files, seeds, inside):
    path = tmp_path / "fer2013.tar.gz"
    if inside == "table":
        rows = [csv_row(i % 7, picture(i), USAGES[i % 3]) for i in range(14)]
        write_tar(path, write_csv(tmp_path / "t.csv", rows), "fer2013/fer2013.csv")
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    whole, content = load_dataset(path, progress=False), path.read_bytes()
    answers = set()
    for seed in seeds:
        path.write_bytes(mutated(content, seed))
        answers.add(check(path, whole))
    assert "refused" in answers and "read in part" not in answers


@few_and_many
def test_damaged_tables_are_read_or_refused(tmp_path, seeds):
    """A plain table has no checksum: a wrong digit stays one. Everything else is seen, and nothing fails."""
    rows = [csv_row(i % 7, picture(i), USAGES[i % 3]) for i in range(5)]
    path = write_csv(tmp_path / "a.csv", rows)
    content = path.read_bytes()
    for seed in seeds:
        path.write_bytes(mutated(content, seed))
        try:
            found = load_dataset(path, cache=False, progress=False)
        except UserError as error:
            assert "\n" not in str(error) and len(str(error)) < 600
        else:
            assert len(found) + len(found.skipped) in range(1, 8)


@few_and_many
def test_damaged_cache_is_never_served(tmp_path, files, seeds):
    source = write_zip(tmp_path / "a.zip", files | {"train/sad/notes.txt": b"x"})
    whole = load_dataset(source, cache=False, progress=False)
    load_dataset(source, progress=False)
    key = cache_key(source)
    entry = cache_folder() / key
    kept = {path: path.read_bytes() for path in sorted(entry.iterdir())}
    for seed in seeds:
        path = list(kept)[seed % len(kept)]
        damaged = mutated(kept[path], seed)
        path.write_bytes(damaged)
        served = load_cached(key)
        # Some damage is none, such as an entry of the record that stands there twice.
        if served is not None:
            assert path.name == "record.json" or damaged == kept[path], (path.name, seed)
            assert (served.skipped, served.notes, served.form) == (whole.skipped, whole.notes, whole.form)
            assert served.names.tolist() == whole.names.tolist()
            np.testing.assert_array_equal(served.images, whole.images)
        if seed % 10 == 0:
            again = load_dataset(source, progress=False)
            np.testing.assert_array_equal(again.images, whole.images)
            assert again.names.tolist() == whole.names.tolist() and again.skipped == whole.skipped
            assert load_cached(key) is not None, "rebuilt"
        path.write_bytes(kept[path])


def test_one_bit_anywhere_in_a_list_of_files_hides_no_picture(tmp_path, files):
    """As above, for every bit of some entries of a zip's directory."""
    path = write_zip(tmp_path / "a.zip", dict(list(files.items())[:4]))
    whole, content = load_dataset(path, progress=False), path.read_bytes()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x01\x02", start + 1)
    for place in [*range(start, end), *range(content.rindex(b"PK\x05\x06"), len(content))]:
        for bit in range(0, 8, 3):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            check(path, whole)


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
@pytest.mark.parametrize("which", [bombs.BOMBS, pytest.param(bombs.LARGE_BOMBS, marks=pytest.mark.long)])
def test_bombs_cost_one_line(tmp_path, which):
    folder = tmp_path / "bombs"
    folder.mkdir()
    for make in which.values():
        make(folder)
    found = subprocess.run([sys.executable, bombs.__file__, folder], capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in found.stdout.splitlines()]
    assert len(answers) == len(which)
    for name, answer, seconds, mib in answers:
        assert answer.startswith("UserError: ") and "\n" not in answer, name
        # Processor time, so a busy machine changes nothing; each takes less than a fifth of it.
        assert seconds < MOST_SECONDS and mib < MOST_MIB, (name, seconds, mib)


def test_strange_files_in_a_folder(tmp_path, files):
    folder = write_folder(tmp_path / "f", files)
    place = folder / "train" / "happy"
    os.mkfifo(place / "Training_pipe.png")
    (place / "Training_circle.png").symlink_to(place / "Training_circle.png")
    (place / "Training_nowhere.png").symlink_to(tmp_path / "nowhere")
    (place / "back").symlink_to(folder)
    (place / "Training_folder.png").mkdir()
    dataset = load_dataset(folder, progress=False)
    assert len(dataset) == 14 and len(dataset.skipped) == 3
    assert {item.reason for item in dataset.skipped} == {"empty, or cannot be read"}


def test_names_that_mean_to_lead_outside(tmp_path, files):
    for name in ("../train/happy/x.png", "..\\train\\happy\\x.png", "/train/happy/x.png", "C:\\train\\happy\\x.png"):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            archive.writestr(entry, png(picture(0)))
        with pytest.raises(UserError, match="points outside"):
            load_dataset(path, progress=False)


def test_an_archive_in_an_archive_for_ever(tmp_path):
    inner = write_csv(tmp_path / "t.csv", [csv_row(3, picture(0), "Training")])
    for depth in range(4):
        inner = write_tar(tmp_path / f"{depth}.tar.gz", inner, "fer2013.csv" if depth == 0 else "fer2013.tar.gz")
        if depth <= 1:
            assert len(load_dataset(inner, progress=False)) == 1
        else:
            with pytest.raises(UserError, match="an archive in an archive in an archive"):
                load_dataset(inner, progress=False)
