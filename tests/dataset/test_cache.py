"""Decoded once, opened many times, never half-written."""

import multiprocessing
import os
import sys

import numpy as np
import pytest
from helpers import picture, png, write_folder, write_zip

import fer_utils.dataset.cache  # noqa: F401
import fer_utils.dataset.load  # noqa: F401
from fer_utils.common.paths import cache_folder
from fer_utils.dataset import cache, load_dataset
from fer_utils.dataset.cache import cache_key, load_cached


@pytest.fixture
def source(tmp_path, files):
    return write_zip(tmp_path / "archive.zip", {**files, "train/happy/readme.txt": b"x"})


def entry(source):
    return cache_folder() / cache_key(source)


def test_second_open_is_a_memory_map_with_the_same_content(source, monkeypatch):
    first = load_dataset(source, progress=False)
    monkeypatch.setattr(
        sys.modules["fer_utils.dataset.load"], "read_source", lambda *_, **__: pytest.fail("decoded again")
    )
    second = load_dataset(source, progress=False)
    assert isinstance(second.images, np.memmap) and not second.images.flags.writeable
    for name in ("images", "labels", "usage", "names"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert second.skipped == first.skipped and len(second.skipped) == 1
    assert second.fingerprint == first.fingerprint


def test_outdated_copies_and_what_a_killed_process_left_are_removed(tmp_path, files):
    kept = write_zip(tmp_path / "other.zip", files)
    load_dataset(kept, progress=False)
    source = write_zip(tmp_path / "archive.zip", files)
    load_dataset(source, progress=False)
    outdated = entry(source)
    old, new = cache_folder() / "building-old", cache_folder() / "building-new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (1, 1))
    os.utime(source, (1_000_000_000, 1_000_000_000))
    load_dataset(source, progress=False)
    assert entry(source).is_dir() and entry(kept).is_dir() and new.is_dir()
    assert not outdated.exists() and not old.exists()


def test_changed_source_is_read_again(tmp_path, files):
    folder = write_folder(tmp_path / "f", files)
    assert len(load_dataset(folder, progress=False)) == 49
    (folder / "train/happy/Training_77777777.png").write_bytes(png(picture(9)))
    assert len(load_dataset(folder, progress=False)) == 50
    replaced = png(picture(10))
    (folder / "train/happy/Training_77777777.png").write_bytes(replaced)
    assert (load_dataset(folder, progress=False).images == picture(10)).all(axis=(1, 2)).any(), "same name, new content"


def flip_a_pixel(folder):
    content = bytearray((folder / "images.npy").read_bytes())
    content[-1000] ^= 255
    (folder / "images.npy").write_bytes(content)


def other_version(folder):
    change_record(folder, '"version": 3', '"version": 2')


def change_record(folder, old, new):
    text = (folder / "record.json").read_text()
    assert old in text
    (folder / "record.json").write_text(text.replace(old, new))


def change_header(folder, name, old, new):
    content = (folder / f"{name}.npy").read_bytes()
    assert old in content[:128]
    (folder / f"{name}.npy").write_bytes(content.replace(old, new, 1))


DAMAGES = {
    "a pixel flipped": flip_a_pixel,
    "array cut short": lambda folder: os.truncate(folder / "images.npy", 5000),
    "array empty": lambda folder: os.truncate(folder / "labels.npy", 0),
    "array missing": lambda folder: (folder / "names.npy").unlink(),
    "record is not JSON": lambda folder: (folder / "record.json").write_text("{"),
    "record of another shape": lambda folder: (folder / "record.json").write_text("[]"),
    "another version": other_version,
    "another type of labels": lambda folder: change_header(folder, "labels", b"<i8", b"<u8"),
    "a header that is none": lambda folder: change_header(folder, "images", b"{'descr'", b"{'de\0cr'"),
    "another form in the record": lambda folder: change_record(folder, '"form": "zip"', '"form": "zap"'),
    "a reason less in the record": lambda folder: change_record(folder, "not one of", "one of"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_entry_is_rebuilt(source, damage):
    first = load_dataset(source, progress=False)
    expected = np.array(first.images)
    del first
    DAMAGES[damage](entry(source))
    assert load_cached(cache_key(source)) is None
    np.testing.assert_array_equal(load_dataset(source, progress=False).images, expected)
    assert load_cached(cache_key(source)) is not None, "and kept again"


def test_unwritable_cache_is_done_without(source, tmp_path, monkeypatch):
    (tmp_path / "a_file").write_text("")
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "a_file" / "cache"))
    dataset = load_dataset(source, progress=False)
    assert len(dataset) == 49 and not isinstance(dataset.images, np.memmap)


def test_read_only_data_folder(tmp_path, files):
    folder = write_folder(tmp_path / "readonly", files)
    before = sorted(folder.rglob("*"))
    folder.chmod(0o555)
    try:
        assert len(load_dataset(folder, progress=False)) == 49
    finally:
        folder.chmod(0o755)
    assert sorted(folder.rglob("*")) == before, "nothing is ever written beside the data"


def test_disk_full_leaves_nothing_half_written(source, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(cache.np, "save", full)
    dataset = load_dataset(source, progress=False)
    assert len(dataset) == 49
    assert [path.name for path in cache_folder().iterdir() if not path.name.endswith(".lock")] == []


def _open(source, queue):
    queue.put(load_dataset(source, progress=False).fingerprint)


def test_two_processes_build_the_same_entry(source):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_open, args=(source, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    fingerprints = {queue.get(timeout=120) for _ in processes}
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert len(fingerprints) == 1
    assert load_cached(cache_key(source)) is not None
    assert not list(cache_folder().glob("building-*"))
