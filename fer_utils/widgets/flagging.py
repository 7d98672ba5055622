"""Keeping a prediction that someone finds wrong, when and only when that person asks for it."""

import csv
import hashlib
import io
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import filelock
from PIL import Image

from fer_utils.common.files import write_atomically
from fer_utils.common.labels import EMOTIONS
from fer_utils.common.paths import project_root
from fer_utils.detector.detector import Face
from fer_utils.detector.photos import Photo

CORRECTIONS = (*EMOTIONS, "no face", "a face was missed", "cannot tell")

TABLE = "flagged.csv"

BOX = ("x", "y", "width", "height")

COLUMNS = ("time", "image", "face", *BOX, "predicted", "unsure", *EMOTIONS, "correction", "model")


def flagged_folder() -> Path:
    """Return `$FER_FLAGGED`, or `data/flagged` of the project (git ignores it) or of the working folder."""
    chosen = os.environ.get("FER_FLAGGED")
    return Path(chosen).expanduser().resolve() if chosen else (project_root() or Path.cwd()) / "data" / "flagged"


def flag(photo: Photo, faces: list[Face], number: int | None, correction: str, model: str, folder=None) -> Path:
    """Store a photo, one prediction on it and the person's own view of it.

    The picture is written anew as PNG, so that place and camera, which a photo's file may name, are not kept. Its
    name comes from its content: the same photo is stored once, however often it is flagged. The picture is there before
    the line that names it, and both are whole or not there, whenever the process may end.

    Args:
        photo: the photo.
        faces: what was predicted on it.
        number: which face, 1 for the first; None for the photo as a whole.
        correction: one of `CORRECTIONS`.
        model: what the model is called.
        folder: `flagged_folder()` if None.

    Returns:
        The path of the picture; the line is in flagged.csv beside it.
    """
    folder = Path(folder) if folder else flagged_folder()
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    Image.fromarray(photo.pixels).save(content, "PNG")
    path = folder / f"{hashlib.sha256(photo.pixels.tobytes()).hexdigest()[:16]}.png"
    # Anew each time: what lies there may have been cut by a crash of an earlier version.
    write_atomically(path, lambda file: file.write(content.getvalue()))
    row = dict.fromkeys(COLUMNS, "")
    row |= {"time": datetime.now(UTC).isoformat(timespec="seconds"), "image": path.name, "correction": correction}
    row["model"] = model
    if number is not None:
        face = faces[number - 1]
        # A very large photo is kept smaller than it was given; the box belongs to what is kept.
        box = (round(value / photo.scale) for value in face.box)
        row |= dict(zip(BOX, box, strict=True))
        row |= {"face": number, "predicted": face.label, "unsure": face.unsure} | face.as_dict()["probabilities"]
    _add_line(folder / TABLE, row)
    return path


def _add_line(table: Path, row: Mapping[str, object]) -> None:
    """Add a line to the table in one piece; begin it with the columns' names, also if a crash left it empty or cut."""
    with filelock.FileLock(table.with_name(f".{table.name}.lock")):
        before = table.read_bytes() if table.exists() else b""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS)
        if not before:
            writer.writeheader()
        elif not before.endswith(b"\n"):
            text.write("\r\n")
        writer.writerow(row)
        write_atomically(table, lambda file: file.write(before + text.getvalue().encode()))
