"""Decoded datasets on disk: the second time, opening is a memory map.

An entry is good for as long as its source stays as it was. For a zip or a table that is its size and its times. A
folder is asked in two ways, because asking 32,000 files costs several times as much as the rest of an opening:

- Every folder in it, every time. Its times change when a file is added, removed, renamed, or replaced by a new file
  of the same name, as unpacking, synchronising and most programs do.
- The files themselves (their names, sizes and times): all of them in a folder of up to `FILES_ALWAYS_ASKED` files. In
  a larger one every sixteenth file, at each opening other ones, and at every sixteenth opening all of them. This is
  for files that were overwritten in place. So a change to hundreds of them is noticed at once, and a change to a
  single one at the next opening or at one of the fifteen after it.

Whoever overwrote a single file in a large folder and wants it read now removes the cache folder, whose place
`fer data info` prints, or calls `load_dataset(…, cache=False)`.
"""

import hashlib
import itertools
import json
import os
import shutil
import tempfile
import time
import zlib
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import filelock
import numpy as np

from fer_utils.common.paths import cache_folder
from fer_utils.dataset.fer_dataset import FerDataset, SkippedFile
from fer_utils.dataset.folder_form import walk

VERSION = 2

ARRAYS = ("images", "labels", "usage", "names")

SECONDS_TO_WAIT = 300

ABANDONED_AFTER = 24 * 3600

FILES_ALWAYS_ASKED = 4096

SHARES = 16

BLOCK = 16 * 2**20


@dataclass(frozen=True)
class SourceState:
    """What a source looked like from outside when it was read.

    Attributes:
        key: the name of its entry.
        folders: times of a folder and of each folder in it, by path; empty for a file.
        file_names: bytes (n,), paths of the files in it, sorted; empty for a file.
        file_stats: int64 (n, 3), their sizes in bytes and their times in ns; (1, 3) for a file.
    """

    key: str
    folders: dict[str, list[int]] = field(default_factory=dict)
    file_names: np.ndarray = field(default_factory=lambda: np.empty(0, "S1"))
    file_stats: np.ndarray = field(default_factory=lambda: np.empty((0, 3), np.int64))

    @property
    def newest(self) -> int:
        """The latest of all these times, in ns."""
        of_folders = max(itertools.chain.from_iterable(self.folders.values()), default=0)
        return max(of_folders, int(self.file_stats[:, 1:].max(initial=0)))


def cache_key(source: Path) -> str:
    """Return the name of a source's entry: its path and, for a file, its size and times."""
    digest = hashlib.sha256(f"{VERSION}:{source.resolve()}".encode(errors="surrogateescape"))
    if source.is_file():
        digest.update(repr(_measured(source.stat())).encode())
    return digest.hexdigest()[:24]


def source_state(source: Path) -> SourceState:
    """Return what `store` keeps of a source in order to notice later that it has changed."""
    if source.is_file():
        return SourceState(cache_key(source), file_stats=np.array([_measured(source.stat())], np.int64))
    folders, names, stats = {"": _times(os.stat(source))}, [], []
    for name, entry in walk(source):
        if entry.is_dir(follow_symlinks=False):
            # Not `entry.stat()`: Windows keeps old times of a folder in the list that it lies in.
            folders[name] = _times(os.stat(entry.path))
        else:
            names.append(name)
            stats += _measured(entry.stat(follow_symlinks=False))
    names = np.array([os.fsencode(name) for name in names], dtype="S")
    order = np.argsort(names)
    return SourceState(cache_key(source), folders, names[order], np.array(stats, np.int64).reshape(-1, 3)[order])


def load_cached(source: Path) -> FerDataset | None:
    """Return the decoded copy of a source, its images as a read-only memory map; None if there is no sound one."""
    return _open_entry(cache_folder() / cache_key(source), source)


def store(source: Path, dataset: FerDataset, state: SourceState | None = None) -> FerDataset | None:
    """Write a decoded copy and return it opened as a memory map; None if the cache cannot be written.

    It is built in a folder of its own and then renamed, so that no half-written entry is ever
    seen, and under a lock, so that two processes that build the same one do not meet.

    Args:
        source: what was read.
        dataset: what reading it gave.
        state: what the source looked like when it was read; what it looks like now if None.
    """
    folder = cache_folder()
    try:
        state = state or source_state(source)
        entry = folder / state.key
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(str(entry) + ".lock", timeout=SECONDS_TO_WAIT):
            ready = _open_entry(entry, source)
            if ready is not None:
                return ready
            building = Path(tempfile.mkdtemp(prefix="building-", dir=folder))
            try:
                _write_entry(building, dataset, state, os.fspath(source.resolve()))
                # Only an entry that is damaged, outdated or of another version can stand in the way.
                shutil.rmtree(entry, ignore_errors=True)
                os.replace(building, entry)
                _remove_outdated(folder, source, entry)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        return _open_entry(entry, check=False)
    except (OSError, filelock.Timeout):
        return None


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


def _times(status: os.stat_result) -> list[int]:
    # The second one cannot be set back by whoever copies files with their old times (except on Windows).
    return [status.st_mtime_ns, status.st_ctime_ns]


def _measured(status: os.stat_result) -> list[int]:
    return [status.st_size, *_times(status)]


def _unchanged(entry: Path, record: dict, source: Path) -> bool:
    """Return whether a folder is, as far as this opening looks, what it was when its entry was made."""
    folders = record["folders"]
    if any(_times(os.stat(source / name)) != times for name, times in folders.items()):
        return False
    if not folders:
        return True
    names, stats = (np.load(entry / f"file_{kind}.npy", mmap_mode="r") for kind in ("names", "stats"))
    share = _next_share(entry)
    if len(names) <= FILES_ALWAYS_ASKED or share == 0:
        now = source_state(source)
        return np.array_equal(now.file_names, names) and np.array_equal(now.file_stats, stats)
    base = os.path.join(os.fsencode(source), b"")
    return all(
        _measured(os.lstat(base + name)) == known
        for name, known in zip(names[share::SHARES].tolist(), stats[share::SHARES].tolist(), strict=True)
    )


def _next_share(entry: Path) -> int:
    """Return which share of the files is this opening's to look at, and leave the number for the next one."""
    counter = entry / "share.txt"
    try:
        share = (int(counter.read_text()) + 1) % SHARES
    except (OSError, ValueError):
        # At the first opening, or after two processes met here: the next ones look again.
        share = 1
    try:
        counter.write_text(str(share))
    except OSError:
        share = 0
    return share


def _start_checksums(array: np.ndarray, pool: Executor) -> list[Future]:
    """Start one checksum for each stretch of an array; zlib lets go of Python's lock, so threads share the work."""
    content = memoryview(np.ascontiguousarray(array).view(np.uint8).reshape(-1))
    return [pool.submit(zlib.crc32, content[start : start + BLOCK]) for start in range(0, len(content), BLOCK)]


def _results(futures: dict[str, list[Future]]) -> dict[str, list[int]]:
    return {name: [future.result() for future in found] for name, found in futures.items()}


def _write_entry(folder: Path, dataset: FerDataset, state: SourceState, path: str) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        written = [pool.submit(np.save, folder / f"{name}.npy", getattr(dataset, name)) for name in ARRAYS]
        checksums = _results({name: _start_checksums(getattr(dataset, name), pool) for name in ARRAYS})
        for future in written:
            future.result()
    if state.folders:
        np.save(folder / "file_names.npy", state.file_names)
        np.save(folder / "file_stats.npy", state.file_stats)
    record = {
        "version": VERSION,
        "source": dataset.source,
        "path": path,
        "form": dataset.form,
        "fingerprint": dataset.fingerprint,
        "skipped": dataset.skipped,
        "notes": dataset.notes,
        "folders": state.folders,
        "checksums": checksums,
    }
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")


def _open_entry(entry: Path, source: Path | None = None, check: bool = True) -> FerDataset | None:
    """Open an entry if it is sound and, where `source` is given, if that has not changed.

    Args:
        entry: its folder.
        source: what was read.
        check: whether to compute its checksums again; not worth it for one that was written a moment ago.
    """
    try:
        record = json.loads((entry / "record.json").read_text(encoding="utf-8"))
        if record["version"] != VERSION:
            return None
        arrays = {name: np.load(entry / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            checksums = {name: _start_checksums(array, pool) for name, array in arrays.items()} if check else {}
            if source is not None and not _unchanged(entry, record, source):
                return None
            if check and _results(checksums) != record["checksums"]:
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
