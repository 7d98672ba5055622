"""Decoded datasets on disk: the second time, opening is a memory map.

An entry is named by what its source looks like: its path, and its size and times; for a folder, those of every file in
it. So a source that changed has another entry. The checksums beside the arrays make sure that a damaged entry is
decoded anew, never served.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from pathlib import Path

import filelock
import numpy as np

from fer_utils.common.paths import cache_folder
from fer_utils.dataset.archives import walk
from fer_utils.dataset.fer_dataset import FerDataset, SkippedFile

VERSION = 3
ARRAYS = ("images", "labels", "usage", "names")

TEXTS = ("source", "form", "fingerprint", "skipped", "notes")

SECONDS_TO_WAIT = 300
ABANDONED_AFTER = 24 * 3600


def cache_key(source: Path) -> str | None:
    """Return the name of a source's entry; None if the source cannot be looked at."""
    digest = hashlib.sha256(f"{VERSION}:{source.resolve()}".encode(errors="surrogateescape"))
    try:
        if source.is_dir():
            for line in sorted(f"{name}:{_measured(status)}" for name, _, status in walk(source)):
                digest.update(line.encode(errors="surrogateescape"))
        else:
            digest.update(_measured(source.stat()).encode())
    except OSError:
        return None
    return digest.hexdigest()[:24]


def _measured(status: os.stat_result | None) -> str:
    # The last one cannot be set back by whoever copies files with their old times (except on Windows).
    return "" if status is None else f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def load_cached(key: str | None) -> FerDataset | None:
    """Return a decoded copy, its images as a read-only memory map; None if there is no sound one."""
    entry = cache_folder() / str(key)
    try:
        record = json.loads((entry / "record.json").read_text(encoding="utf-8"))
        if record.pop("checksum") != _checksum(record) or record["version"] != VERSION:
            return None
        if record["files"] != _file_checksums(entry):
            return None
        # Only the pictures are worth mapping; the rest is small and wanted as ordinary arrays.
        arrays = {name: np.load(entry / f"{name}.npy", mmap_mode="r" if name == "images" else None) for name in ARRAYS}
        texts = {name: record[name] for name in TEXTS} | {"skipped": [SkippedFile(*item) for item in record["skipped"]]}
        return FerDataset(**arrays, **texts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def store(key: str, source: Path, dataset: FerDataset) -> FerDataset | None:
    """Write a decoded copy and return it opened as a memory map; None if the cache cannot be written.

    It is built in a folder of its own and then renamed, so that no half-written entry is ever
    seen, and under a lock, so that two processes that build the same one do not meet.

    Args:
        key: from `cache_key`, before the source was read.
        source: what was read.
        dataset: what reading it gave.
    """
    folder = cache_folder()
    entry = folder / key
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(str(entry) + ".lock", timeout=SECONDS_TO_WAIT):
            ready = load_cached(key)
            if ready is not None:
                return ready
            building = Path(tempfile.mkdtemp(prefix="building-", dir=folder))
            try:
                _write(building, dataset, source)
                # Only a damaged entry can stand in the way.
                shutil.rmtree(entry, ignore_errors=True)
                os.replace(building, entry)
                _remove_outdated(folder, source, entry)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        return load_cached(key)
    except (OSError, filelock.Timeout):
        return None


def _write(folder: Path, dataset: FerDataset, source: Path) -> None:
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", getattr(dataset, name))
    record = {"version": VERSION, "path": os.fspath(source.resolve()), "files": _file_checksums(folder)}
    record |= {name: getattr(dataset, name) for name in TEXTS}
    record["checksum"] = _checksum(record)
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")


def _checksum(record: dict) -> str:
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()


def _file_checksums(folder: Path) -> dict[str, int]:
    """Return the CRC-32 of each array's file, its header included."""
    return {name: zlib.crc32(np.memmap(folder / f"{name}.npy", np.uint8, "r")) for name in ARRAYS}


def _remove_outdated(folder: Path, source: Path, entry: Path) -> None:
    """Remove what nobody will open again: older copies of the same source, and what a killed process left behind."""
    for other in folder.iterdir():
        try:
            if other.name.startswith("building-"):
                outdated = time.time() - other.stat().st_mtime > ABANDONED_AFTER
            else:
                about = json.loads((other / "record.json").read_text(encoding="utf-8"))
                outdated = other != entry and about["path"] == os.fspath(source.resolve())
        # Whatever else lies in the folder, such as locks and the features' caches, is not ours to judge.
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if outdated:
            shutil.rmtree(other, ignore_errors=True)
