"""Files that are whole or not there, and their checksums."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np


def checksum(weights: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 over the bytes of arrays, one after another, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight).view(np.uint8).data)
    return digest.hexdigest()


def write_atomically(path, write):
    """Let `write(file)` fill a new binary file that takes the place of `path` only when it is complete."""
    path = Path(path)
    beside = path.with_name(path.name + ".part")
    with open(beside, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def fingerprint(path):
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
