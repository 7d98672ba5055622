"""Files that are whole or not there, and their checksums."""

import contextlib
import hashlib
import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path


def checksum(weights: Iterable) -> str:
    """Return the SHA-256 over the bytes of arrays, one after another, as 64 hexadecimal digits."""
    import numpy as np

    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight).view(np.uint8).data)
    return digest.hexdigest()


def write_atomically(path: str | Path, write: Callable) -> None:
    """Let `write(file)` fill a new binary file that takes the place of `path` only when it is complete.

    Raises:
        OSError: with the name of `path` if it could not be written, on a full disk for instance; what was there stays.
    """
    path = Path(path)
    # A name of its own: two processes, even of two containers, may write the same file.
    beside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with open(beside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text as UTF-8 by `write_atomically`; what UTF-8 cannot hold, as in a strange file name, is escaped."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8", "backslashreplace")))


def fingerprint(path):
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
