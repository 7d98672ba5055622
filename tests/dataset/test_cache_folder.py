"""A folder of many files: whatever changes in it is noticed at the next opening."""

import os
import sys

import numpy as np
import pytest
from helpers import picture, png, write_folder

import fer_utils.dataset.load  # noqa: F401
from fer_utils.common.paths import cache_folder
from fer_utils.dataset import load_dataset, read
from fer_utils.dataset.cache import cache_key, load_cached


@pytest.fixture
def folder(tmp_path, files):
    """A folder of 49 pictures, opened once."""
    path = write_folder(tmp_path / "fer2013", files)
    load_dataset(path, progress=False)
    assert kept(path)
    return path


def kept(folder) -> bool:
    return load_cached(cache_key(folder)) is not None


def one(folder):
    return sorted((folder / "train" / "fear").iterdir())[2]


def overwrite(path, seed):
    size = path.stat().st_size
    content = png(picture(seed))[:size]
    path.write_bytes(content + bytes(size - len(content)))


def replace_with_old_times(target):
    beside = target.with_name("beside")
    beside.write_bytes(png(picture(99)))
    os.utime(beside, ns=(target.stat().st_atime_ns, target.stat().st_mtime_ns))
    os.replace(beside, target)


CHANGES = {
    "added": lambda folder: (folder / "train" / "fear" / "Training_1.png").write_bytes(png(picture(7))),
    "removed": lambda folder: one(folder).unlink(),
    "renamed": lambda folder: one(folder).rename(one(folder).with_name("Training_2.png")),
    "moved to another emotion": lambda folder: one(folder).rename(folder / "train" / "sad" / one(folder).name),
    "replaced by a new one": lambda folder: replace_with_old_times(one(folder)),
    "overwritten in place": lambda folder: overwrite(one(folder), 99),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_noticed_at_once(folder, change):
    CHANGES[change](folder)
    assert not kept(folder)
    load_dataset(folder, progress=False)
    assert kept(folder)


def test_one_file_of_thousands_overwritten_is_never_served_from_before(tmp_path):
    files = {f"train/happy/Training_{i:05}.png": png(picture(i % 5)) for i in range(4200)}
    path = write_folder(tmp_path / "large", files)
    load_dataset(path, progress=False)
    for number in (1, 2077, 4199):
        (path / f"train/happy/Training_{number:05}.png").write_bytes(png(picture(7)))
        read_again = load_dataset(path, progress=False)
        assert (np.asarray(read_again.images) == picture(7)).all(axis=(1, 2))[number]


@pytest.mark.skipif(os.name == "nt", reason="Windows lets a file's times be set back without a trace")
def test_times_set_back_do_not_hide_a_change(folder):
    before = one(folder).stat()
    overwrite(one(folder), 99)
    os.utime(one(folder), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not kept(folder)


def test_change_while_reading_is_not_kept(tmp_path, files, monkeypatch):
    path = write_folder(tmp_path / "f", files)
    real_read = read.read_source

    def read_and_change(*given):
        dataset = real_read(*given)
        overwrite(one(path), 99)
        return dataset

    monkeypatch.setattr(sys.modules["fer_utils.dataset.load"], "read_source", read_and_change)
    assert len(load_dataset(path, progress=False)) == 49
    assert not kept(path)


def test_outdated_entry_is_replaced_not_kept_beside(folder):
    before = {entry.name for entry in cache_folder().iterdir() if entry.is_dir()}
    CHANGES["added"](folder)
    dataset = load_dataset(folder, progress=False)
    assert len(dataset) == 50 and isinstance(dataset.images, np.memmap)
    after = {entry.name for entry in cache_folder().iterdir() if entry.is_dir()}
    assert len(after) == 1 and after.isdisjoint(before)
