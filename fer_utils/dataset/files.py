"""The files of an archive or a folder, each with its bytes, in a bounded amount of memory."""

import contextlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from fer_utils.common.errors import UserError
from fer_utils.dataset import zip_form
from fer_utils.dataset.find import form_of
from fer_utils.dataset.folder_form import list_files, read_file
from fer_utils.dataset.pictures import IMAGE_ENDINGS as IMAGE_ENDINGS

# A 48×48 JPEG has about 2 kB and the CSV about 300 MB: these are far above any honest copy.
MOST_BYTES_PER_FILE = 4 * 2**20

MOST_BYTES_IN_ALL = 2 * 2**30

MOST_FILES = 500_000

GET_AGAIN = "download it again, or point to another copy"

FILES_AT_ONCE = 256

ENCRYPTED = 0x0001


def iterate_files(source: str | Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path inside the source, raw bytes) of every file of a zip or folder, sorted by path.

    A file that cannot be read at all yields no bytes.

    Raises:
        UserError: if the source is no zip or folder, is damaged, or is unsafe to read.
    """
    with _open_files(Path(source)) as files:
        for start in range(0, len(files.names), FILES_AT_ONCE):
            rows = range(start, min(start + FILES_AT_ONCE, len(files.names)))
            yield from zip(files.names[start : rows.stop], files.unpack(files.fetch(rows)[0]), strict=True)


def count_files(source: str | Path) -> int:
    """Return how many files `iterate_files` will yield.

    Raises:
        UserError: as `iterate_files`.
    """
    with _open_files(Path(source)) as files:
        return len(files.names)


class _Files(Protocol):
    """The files of a source, sorted by name. `fetch` is called from one thread, `unpack` from any."""

    names: list[str]

    def fetch(self, rows) -> tuple:
        """Read the files at some positions of `names`; return what `unpack` takes, and how many bytes that holds."""

    def unpack(self, raw) -> list[bytes]:
        """Return their bytes; none for a file that cannot be read or is longer than the limit."""


@contextlib.contextmanager
def _open_files(source: Path) -> Iterator[_Files]:
    form = form_of(source)
    if form == "folder":
        yield _FolderFiles(source)
    elif form == "zip":
        with contextlib.ExitStack() as opened:
            yield _open_zip(source, opened)
    else:
        raise UserError(f"{source} has rows, not files: this needs the zip or the folder form")


class _FolderFiles:
    def __init__(self, source: Path):
        self.base = os.path.join(source, "")
        self.names = list_files(source)

    def fetch(self, rows) -> tuple:
        contents = [read_file(self.base + self.names[row], MOST_BYTES_PER_FILE) for row in rows]
        return contents, sum(map(len, contents))

    def unpack(self, raw) -> list[bytes]:
        return raw


class _PlainZipFiles:
    def __init__(self, stream: IO[bytes], members: list[zip_form.Member]):
        self.stream = stream
        self.members = _checked_members(members, stream.name)
        self.names = [member.filename for member in self.members]

    def fetch(self, rows) -> tuple:
        pieces = zip_form.fetch(self.stream, [self.members[row] for row in rows])
        return pieces, sum(len(piece.content) for piece in pieces)

    def unpack(self, raw) -> list[bytes]:
        return zip_form.unpack(raw, MOST_BYTES_PER_FILE)


class _ZipFiles:
    def __init__(self, archive: zipfile.ZipFile):
        self.archive = archive
        self.members = _checked_members(archive.infolist(), archive.filename)
        self.names = [info.filename for info in self.members]

    def fetch(self, rows) -> tuple:
        # Read when it is unpacked, since `zipfile` does both at once.
        return [self.members[row] for row in rows], 0

    def unpack(self, raw) -> list[bytes]:
        return [self._read(info) for info in raw]

    def _read(self, info: zipfile.ZipInfo) -> bytes:
        try:
            # The size in the directory may lie: the stream itself is cut at the limit.
            with self.archive.open(info) as stream:
                content = stream.read(MOST_BYTES_PER_FILE + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError):
            content = b""
        return content if len(content) <= MOST_BYTES_PER_FILE else b""


def _open_zip(source: Path, opened: contextlib.ExitStack) -> "_PlainZipFiles | _ZipFiles":
    try:
        stream = opened.enter_context(source.open("rb"))
        members = zip_form.list_members(stream)
        archive = opened.enter_context(zipfile.ZipFile(stream)) if members is None else None
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(f"{source} is cut short or not a zip ({error}): {GET_AGAIN}") from error
    files = [] if archive is None else [info for info in archive.infolist() if not info.is_dir()]
    if files and all(info.flag_bits & ENCRYPTED for info in files):
        raise UserError(f"{source} is locked with a password: unpack it and point to the folder")
    return _PlainZipFiles(stream, members) if archive is None else _ZipFiles(archive)


def _points_outside(name: str) -> bool:
    # Few names need the exact look, which takes longer than unpacking the file.
    if not name.startswith(("/", "\\")) and ".." not in name and ":" not in name:
        return False
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in path.parts[0]


def _checked_members(infos: list, source: str) -> list:
    """Return the files among an archive's members, sorted by name.

    Raises:
        UserError: if one of them is unsafe, or all together are too much.
    """
    members = sorted((info for info in infos if not info.is_dir()), key=lambda info: info.filename)
    for info in members:
        if _points_outside(info.filename):
            raise UserError(f"{source} has an entry that points outside it ({info.filename}): {GET_AGAIN}")
    declared = sum(info.file_size for info in members)
    if declared > MOST_BYTES_IN_ALL or len(members) > MOST_FILES:
        raise UserError(
            f"{source} would unpack to {declared / 2**30:.1f} GiB in {len(members)} files, "
            f"far more than FER-2013: {GET_AGAIN}"
        )
    return members
