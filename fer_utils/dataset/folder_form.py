"""Listing and reading the 32,000 small files of an unpacked copy, without a `Path` object for each."""

import os
from collections.abc import Iterator
from pathlib import Path

USUAL_BYTES = 64 * 2**10

# Windows would otherwise turn line ends in the middle of a picture.
READ_BYTES = os.O_RDONLY | getattr(os, "O_BINARY", 0)


def walk(folder: Path) -> Iterator[tuple[str, os.DirEntry]]:
    """Yield (path inside the folder with "/" between its parts, entry) of everything in it, folders before their files.

    Symbolic links are left out: what they point to may lie anywhere.
    """
    waiting = [("", os.fspath(folder))]
    while waiting:
        prefix, place = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_symlink():
                    continue
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((name + "/", entry.path))
                yield name, entry


def list_files(folder: Path) -> list[str]:
    """Return the paths of the files inside a folder, sorted, with "/" between their parts."""
    return sorted(name for name, entry in walk(folder) if entry.is_file(follow_symlinks=False))


def read_file(path: str, most: int) -> bytes:
    """Return a file's bytes; none if it cannot be read or is longer than `most`."""
    try:
        opened = os.open(path, READ_BYTES)
    except OSError:
        return b""
    try:
        content = os.read(opened, USUAL_BYTES)
        if len(content) == USUAL_BYTES:
            with open(opened, "rb", closefd=False) as stream:
                content += stream.read(most + 1 - len(content))
        return content if len(content) <= most else b""
    except OSError:
        return b""
    finally:
        os.close(opened)
