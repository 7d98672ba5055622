"""Decoded datasets on disk: the second time, opening is a memory map."""

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path

import filelock
import numpy as np

from fer_utils.dataset.records import FerDataset, SkippedFile
from fer_utils.paths import cache_folder

VERSION = 1
ARRAYS = ("images", "labels", "usage", "names")
SECONDS_TO_WAIT = 300


def cache_key(source: Path) -> str:
    """Return a name that changes whenever the source does: its path, sizes and modification times."""
    digest = hashlib.sha256(f"{VERSION}:{source.resolve()}".encode())
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    for path in files:
        status = path.stat()
        digest.update(f"{path.name}:{status.st_size}:{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:24]


def load_cached(source: Path) -> FerDataset | None:
    """Return the decoded copy of a source, its images as a read-only memory map; None if there is no sound one."""
    return _open_entry(cache_folder() / cache_key(source))


def store(source: Path, dataset: FerDataset) -> FerDataset | None:
    """Write a decoded copy and return it opened as a memory map; None if the cache cannot be written.

    It is built in a folder of its own and then renamed, so that no half-written entry is ever
    seen, and under a lock, so that two processes that build the same one do not meet.
    """
    folder = cache_folder()
    entry = folder / cache_key(source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(str(entry) + ".lock", timeout=SECONDS_TO_WAIT):
            ready = _open_entry(entry)
            if ready is not None:
                return ready
            building = Path(tempfile.mkdtemp(prefix="building-", dir=folder))
            try:
                _write_entry(building, dataset)
                # Only a damaged entry, or one of another version, can stand in the way.
                shutil.rmtree(entry, ignore_errors=True)
                os.replace(building, entry)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        return _open_entry(entry)
    except (OSError, filelock.Timeout):
        return None


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data)


def _write_entry(folder: Path, dataset: FerDataset) -> None:
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", getattr(dataset, name))
    record = {
        "version": VERSION,
        "source": dataset.source,
        "form": dataset.form,
        "fingerprint": dataset.fingerprint,
        "skipped": dataset.skipped,
        "notes": dataset.notes,
        "checksums": {name: _checksum(getattr(dataset, name)) for name in ARRAYS},
    }
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")


def _open_entry(entry: Path) -> FerDataset | None:
    try:
        record = json.loads((entry / "record.json").read_text(encoding="utf-8"))
        if record["version"] != VERSION:
            return None
        arrays = {name: np.load(entry / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
        if any(_checksum(array) != record["checksums"][name] for name, array in arrays.items()):
            return None
        # Only the pictures are worth mapping; the rest is small and wanted as ordinary arrays.
        arrays = {name: array if name == "images" else np.array(array) for name, array in arrays.items()}
        return FerDataset(
            **arrays,
            source=record["source"],
            form=record["form"],
            fingerprint=record["fingerprint"],
            skipped=[SkippedFile(*item) for item in record["skipped"]],
            notes=record["notes"],
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
