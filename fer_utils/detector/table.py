"""A table of faces: one row each, with all seven probabilities."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from fer_utils.common.errors import UserError
from fer_utils.common.files import write_text
from fer_utils.common.labels import EMOTIONS
from fer_utils.detector.detector import Face

BOX = ("x", "y", "width", "height")

COLUMNS = ("image", "frame", "seconds", "face", *BOX, "label", "unsure", "whole", *EMOTIONS)


def row(image: str, number: int, face: Face, frame: int | str = "", seconds: float | str = "") -> dict:
    """Return the row of one face.

    Args:
        image: the file's name as it was given.
        number: which face of the photo, 1 for the largest; in a video the same person keeps it.
        face: the face.
        frame: of a video, counted from 0.
        seconds: since the video began.
    """
    content = face.as_dict()
    return {
        "image": image,
        "frame": frame,
        "seconds": seconds,
        "face": number,
        **dict(zip(BOX, face.box, strict=True)),
        **content.pop("probabilities"),
        **{name: content[name] for name in ("label", "unsure", "whole")},
    }


def require_table(path: Path) -> Path:
    """Return a path to which a table can be written.

    Raises:
        UserError: if it does not end with .csv, which could be a photo named by mistake, or its folder is missing.
    """
    if path.suffix.lower() != ".csv":
        raise UserError(f"--csv {path}: the table's name must end with .csv")
    if not path.parent.is_dir():
        raise UserError(f"--csv {path}: there is no folder {path.parent}")
    return path


def write_table(path: Path, rows: Iterable[dict]) -> None:
    """Write the whole table in one piece; an earlier one stays until then."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows({name: harmless(value) for name, value in row.items()} for row in rows)
    write_text(path, text.getvalue())


def harmless(value):
    """Return a cell that no spreadsheet takes for a formula: one that begins so gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
