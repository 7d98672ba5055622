"""The list of files of a folder, a zip or a tar, and how each is read, within limits.

Nothing is unpacked to disk, and sizes are looked at before anything is unpacked, so that a damaged or hostile archive
costs an error message and nothing else.
"""

import contextlib
import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fer_utils.common.errors import UserError
from fer_utils.dataset.names import IMAGE_ENDINGS, is_file, quoted

# A 48×48 JPEG has about 2 kB, the CSV 300 MB, and FER-2013 35,887 pictures: these are far above any honest copy.
MOST_BYTES_PER_FILE = 4 * 2**20
MOST_BYTES_OF_PICTURES = 2**30
MOST_BYTES_OF_TABLE = 640 * 2**20
MOST_FILES = 150_000
MOST_BYTES_OF_DIRECTORY = 120 * MOST_FILES
TOO_LARGE = f"more than {MOST_BYTES_OF_TABLE / 2**20:.0f} MiB or {MOST_FILES:,} files"

GET_AGAIN = "download it again, or point to another copy"
ENCRYPTED = 0x0001
GZIP = b"\x1f\x8b"
# Whatever zipfile, tarfile, gzip and the system say of a file that is damaged, also where a field leads them astray.
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)
DAMAGED += (ValueError, struct.error, IndexError, OverflowError)


@dataclass
class Files:
    """The files of a source.

    Attributes:
        names: their paths inside it, sorted, with "/" between the parts.
        sizes: their bytes, as the source tells them.
        handles: what `open_handle` takes, one a name.
        open_handle: opens a file for reading.
        in_turn: whether it is a tar, which is read fast only from one file to the next.
        order: positions in the order to read them in.
    """

    names: list[str]
    sizes: list[int]
    handles: list[Any]
    open_handle: Callable[[Any], IO[bytes]]
    in_turn: bool = False
    order: list[int] = field(default_factory=list)

    def open(self, position: int) -> IO[bytes]:
        """Open a file for reading."""
        return self.open_handle(self.handles[position])

    def read(self, position: int) -> bytes:
        """Return a file's bytes; none if it cannot be read or is longer than the limit."""
        try:
            # The size told may lie: the stream itself is cut at the limit.
            with self.open(position) as stream:
                content = stream.read(MOST_BYTES_PER_FILE + 1)
        except DAMAGED:
            return b""
        return content if len(content) <= MOST_BYTES_PER_FILE else b""

    @property
    def twice(self) -> set[str]:
        """Names that several files have: nobody can tell which of them is meant."""
        return {name for name, n in Counter(self.names).items() if n > 1}


def _files_of(source: Path, found: list[tuple[str, int, Any]], open_handle, in_turn: bool = False) -> Files:
    """Return the files among (name, bytes, handle) found in a source.

    Raises:
        UserError: if one of them points outside it, or all together are too much.
    """
    # Windows' own programs write "\\" into zips.
    found = [(name.replace("\\", "/"), *rest) for name, *rest in found]
    found = [entry for entry in found if is_file(entry[0])]
    by_name = sorted(range(len(found)), key=lambda place: found[place][0])
    names, sizes, handles = ([found[place][i] for place in by_name] for i in range(3))
    for name in names:
        if name.startswith("/") or name[1:2] == ":" or (".." in name and ".." in PurePosixPath(name).parts):
            raise UserError(f"{source} has an entry that points outside it ({quoted(name)}): {GET_AGAIN}")
    pictures = sum(size for name, size in zip(names, sizes, strict=True) if name.lower().endswith(IMAGE_ENDINGS))
    if pictures > MOST_BYTES_OF_PICTURES or len(names) > MOST_FILES:
        raise _too_much(source, f"{pictures / 2**30:.1f} GiB of pictures in {len(names):,} files")
    order = sorted(range(len(names)), key=by_name.__getitem__) if in_turn else list(range(len(names)))
    return Files(names, sizes, handles, open_handle, in_turn, order)


def _too_much(source: Path, what: str) -> UserError:
    return UserError(f"{source} holds {what}, far more than FER-2013: {GET_AGAIN}")


def folder_files(source: Path) -> Files:
    """Return the files of a folder; of a broken link, or a pipe that would never end, there is nothing to read."""
    found = []
    for name, path, status in walk(source):
        found.append((name, status.st_size, path) if status else (name, 0, os.devnull))
        if len(found) > MOST_FILES:
            raise _too_much(source, f"more than {MOST_FILES:,} files")
    return _files_of(source, found, lambda path: open(path, "rb"))


def walk(folder: Path) -> Iterator[tuple[str, str, os.stat_result | None]]:
    """Yield (path inside the folder with "/" between its parts, path, status) of every file; None for no regular one.

    Links are followed, each folder once, so that a circle ends.
    """
    waiting, known = [("", os.fspath(folder))], set()
    while waiting:
        prefix, place = waiting.pop()
        if os.path.realpath(place) in known:
            continue
        known.add(os.path.realpath(place))
        with os.scandir(place) as entries:
            for entry in entries:
                try:
                    is_folder, status = entry.is_dir(), entry.stat() if entry.is_file() else None
                except OSError:  # a link to itself
                    is_folder, status = False, None
                if is_folder:
                    waiting.append((prefix + entry.name + "/", entry.path))
                else:
                    yield prefix + entry.name, entry.path, status


def zip_files(source: Path, stream: IO[bytes], opened: contextlib.ExitStack) -> Files:
    told, n_bytes = _told_by_the_end(stream)
    if n_bytes > MOST_BYTES_OF_DIRECTORY:
        raise _too_much(source, f"a list of files of {n_bytes / 2**20:,.0f} MiB")
    archive = opened.enter_context(zipfile.ZipFile(stream))
    infos = archive.infolist()
    # One flipped bit in the list can hide hundreds of files. Old programs count to 65,535 only.
    if len(infos) != told and len(infos) % 2**16 != told:
        raise zipfile.BadZipFile(f"it lists {len(infos):,} files instead of {told:,}")
    # A folder of many bytes is a file with a damaged name.
    files = [info for info in infos if info.file_size or not info.filename.endswith(("/", "\\"))]
    if files and all(info.flag_bits & ENCRYPTED for info in files):
        raise UserError(f"{source} is locked with a password: unpack it and point to the folder")
    return _files_of(source, [(info.filename, info.file_size, info) for info in files], archive.open)


def _told_by_the_end(stream: IO[bytes]) -> tuple[int, int]:
    """Return (how many files, bytes of their list) that the end of a zip tells (APPNOTE 4.3.14 and 4.3.16)."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - 2**17))
    tail = stream.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) < place + 22:
        raise zipfile.BadZipFile("File is not a zip file")
    n, n_bytes = struct.unpack_from("<HL", tail, place + 10)
    larger = tail.rfind(b"PK\x06\x06", 0, place)
    if larger >= 0 and (n == 0xFFFF or n_bytes == 0xFFFFFFFF):
        n, n_bytes = struct.unpack_from("<QQ", tail, larger + 32)
    return n, n_bytes


def tar_files(source: Path, stream: IO[bytes], opened: contextlib.ExitStack) -> Files:
    archive = opened.enter_context(tarfile.open(fileobj=stream, mode="r:*"))  # noqa: SIM115
    found, n_bytes = [], 0
    for member in archive:
        n_bytes += max(0, member.size)
        if n_bytes > MOST_BYTES_OF_TABLE or len(found) > MOST_FILES:
            raise _too_much(source, TOO_LARGE)
        if not member.isdir():
            found.append((member.name.removeprefix("./"), member.size, member))
    # To its end, where the checksum is: a flipped bit would give wrong pixels without a word.
    while rest := len(archive.fileobj.read(2**20)):
        n_bytes += rest
        if n_bytes > MOST_BYTES_OF_TABLE:
            raise _too_much(source, TOO_LARGE)
    return _files_of(source, found, lambda member: archive.extractfile(member) or io.BytesIO(), in_turn=True)
