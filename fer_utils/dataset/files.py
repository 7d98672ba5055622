"""Which form a source has, and the files in it, one after another."""

import contextlib
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from fer_utils.common.errors import UserError
from fer_utils.dataset.archives import DAMAGED, GET_AGAIN, GZIP, Files, folder_files, tar_files, zip_files
from fer_utils.dataset.names import quoted


def form_of(path: Path) -> str:
    """Return which of the forms a path has, by what it begins with: "folder", "zip", "csv" or "tar.gz".

    Raises:
        UserError: if it is none of them.
    """
    if path.is_dir():
        return "folder"
    name = path.name.lower()
    if not path.is_file():
        raise UserError(f"{path} is neither a folder nor a file: point to a folder, .zip, .csv or .tar.gz")
    with contextlib.suppress(OSError, EOFError, zlib.error), path.open("rb") as stream:
        head = stream.read(4)
        stream.seek(0)
        start = (gzip.open(stream) if head.startswith(GZIP) else stream).read(512)  # noqa: SIM115
        if head == b"PK\3\4" or head == b"PK\5\6":
            return "zip"
        if start[257:262] == b"ustar":
            return "tar.gz"
        if b"emotion" in start.lower() and b"pixels" in start.lower():
            return "csv"
    for form, endings in {"zip": (".zip",), "csv": (".csv", ".csv.gz"), "tar.gz": (".tar.gz", ".tgz", ".tar")}.items():
        if name.endswith(endings):
            return form
    raise UserError(f"{path} is not a folder, .zip, .csv or .tar.gz: point to one of these")


def iterate_files(source: str | Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path inside the source, raw bytes) of every file, sorted by path; of a tar, as they lie in it.

    A file that cannot be read at all yields no bytes.

    Raises:
        UserError: if the source is none of these, is damaged, or is unsafe to read.
    """
    source = Path(source)
    with open_files(source, form_of(source)) as files:
        for position in files.order:
            yield files.names[position], files.read(position)


@contextlib.contextmanager
def open_files(source: Path, form: str, stream: IO[bytes] | None = None) -> Iterator[Files]:
    """Open a folder, zip or tar.

    Args:
        source: what it is, for messages.
        form: from `form_of`.
        stream: the archive where it lies in another one; None to open `source` itself.

    Raises:
        UserError: if it is damaged or unsafe to read, or is a table.
    """
    if form == "csv":
        raise UserError(f"{source} has rows, not files: this needs a folder, .zip or .tar.gz of pictures")
    with contextlib.ExitStack() as opened:
        try:
            if form == "folder":
                files = folder_files(source)
            else:
                stream = stream or opened.enter_context(source.open("rb"))
                files = (zip_files if form == "zip" else tar_files)(source, stream, opened)
        except UserError:
            raise
        except DAMAGED as error:
            what = {"zip": "not a zip", "tar.gz": "not a .tar.gz"}.get(form, "cannot be read")
            raise UserError(f"{source} is cut short or {what} ({quoted(str(error))}): {GET_AGAIN}") from error
        yield files
