"""A folder of thousands of files: later openings ask few of them, and still notice what has changed."""

import os
import sys
import time

import numpy as np
import pytest
from helpers import picture, png, write_folder

import fer_utils.dataset.cache  # noqa: F401
import fer_utils.dataset.load  # noqa: F401
from fer_utils.common.paths import cache_folder
from fer_utils.dataset import cache, load_dataset, read
from fer_utils.dataset.cache import SHARES, cache_key, load_cached


@pytest.fixture
def folder(tmp_path, files, monkeypatch):
    """A folder of 49 pictures that counts as large, opened once."""
    monkeypatch.setattr(sys.modules["fer_utils.dataset.cache"], "FILES_ALWAYS_ASKED", 10)
    path = write_folder(tmp_path / "fer2013", files)
    load_dataset(path, progress=False)
    assert load_cached(path) is not None
    return path


def one(folder):
    return sorted((folder / "train" / "fear").iterdir())[2]


CHANGES = {
    "added": lambda folder: (folder / "train" / "fear" / "Training_1.png").write_bytes(png(picture(7))),
    "removed": lambda folder: one(folder).unlink(),
    "renamed": lambda folder: one(folder).rename(one(folder).with_name("Training_2.png")),
    "moved to another emotion": lambda folder: one(folder).rename(folder / "train" / "sad" / one(folder).name),
    "folder added": lambda folder: (folder / "train" / "more").mkdir(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_files_that_come_and_go_are_noticed_at_once(folder, change):
    for _ in range(3):
        CHANGES[change](folder)
        assert load_cached(folder) is None
        load_dataset(folder, progress=False)
        assert load_cached(folder) is not None
        if change not in ("removed", "renamed"):
            break


def test_one_file_replaced_by_a_new_one_is_noticed_at_once(folder):
    target = one(folder)
    beside = target.with_name("beside")
    beside.write_bytes(png(picture(99)))
    os.utime(beside, ns=(target.stat().st_atime_ns, target.stat().st_mtime_ns))
    os.replace(beside, target)
    assert load_cached(folder) is None


def overwrite(path, seed):
    size = path.stat().st_size
    content = png(picture(seed))[:size]
    path.write_bytes(content + bytes(size - len(content)))


def test_one_file_overwritten_in_place_is_noticed_in_time(folder):
    for target in sorted(folder.rglob("*.png"))[:: SHARES + 1]:
        overwrite(target, 99)
        openings = [load_cached(folder) is None for _ in range(SHARES)]
        assert any(openings), target
        load_dataset(folder, progress=False)
        for _ in range(SHARES):
            load_dataset(folder, progress=False)
        assert load_cached(folder) is not None


def test_many_files_overwritten_in_place_are_noticed_at_once(folder):
    for seed, target in enumerate(sorted(folder.rglob("*.png"))):
        overwrite(target, seed)
    assert load_cached(folder) is None


@pytest.mark.skipif(os.name == "nt", reason="Windows lets a file's times be set back without a trace")
def test_times_set_back_do_not_hide_a_change(tmp_path, files):
    path = write_folder(tmp_path / "small", files)
    load_dataset(path, progress=False)
    target = one(path)
    before = target.stat()
    overwrite(target, 99)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load_cached(path) is None


def test_an_opening_asks_a_share_of_the_files(folder, monkeypatch):
    asked = []
    lstat = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: asked.append(path) or lstat(path))
    complete = cache.source_state
    looks = []
    monkeypatch.setattr(
        sys.modules["fer_utils.dataset.cache"], "source_state", lambda source: looks.append(1) or complete(source)
    )
    for _ in range(SHARES):
        assert load_cached(folder) is not None
    assert len(looks) == 1, "everything once in so many openings"
    pictures = [path for path in asked if path.endswith(b".png" if isinstance(path, bytes) else ".png")]
    assert len(pictures) == len(set(pictures)) == 49 - len(range(0, 49, SHARES))


def test_without_a_place_for_the_count_everything_is_asked(folder, monkeypatch):
    counter = cache_folder() / cache_key(folder) / "share.txt"
    counter.unlink()
    counter.mkdir()
    overwrite(one(folder), 99)
    assert load_cached(folder) is None


def test_change_while_reading_is_not_kept(tmp_path, files, monkeypatch):
    path = write_folder(tmp_path / "f", files)
    real_read = read.read_source

    def read_and_change(source, progress, meanwhile):
        def change_first():
            time.sleep(0.05)
            overwrite(one(path), 99)
            meanwhile()

        return real_read(source, progress, change_first)

    monkeypatch.setattr(sys.modules["fer_utils.dataset.load"], "read_source", read_and_change)
    assert len(load_dataset(path, progress=False)) == 49
    assert load_cached(path) is None


def test_outdated_entry_is_replaced_not_kept_beside(folder):
    before = {entry.name for entry in cache_folder().iterdir()}
    CHANGES["added"](folder)
    dataset = load_dataset(folder, progress=False)
    assert len(dataset) == 50 and isinstance(dataset.images, np.memmap)
    assert {entry.name for entry in cache_folder().iterdir()} == before
