"""Keeping a prediction that someone finds wrong, when and only when that person asks for it."""

import csv
import hashlib
import io
import os
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

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
    name comes from its content: the same photo is stored once, however often it is flagged.

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
    if not path.exists():
        path.write_bytes(content.getvalue())
    row = dict.fromkeys(COLUMNS, "")
    row |= {"time": datetime.now(UTC).isoformat(timespec="seconds"), "image": path.name, "correction": correction}
    row["model"] = model
    if number is not None:
        face = faces[number - 1]
        # A very large photo is kept smaller than it was given; the box belongs to what is kept.
        box = (round(value / photo.scale) for value in face.box)
        row |= dict(zip(BOX, box, strict=True))
        row |= {"face": number, "predicted": face.label, "unsure": face.unsure} | face.as_dict()["probabilities"]
    table = folder / TABLE
    is_new = not table.exists()
    with table.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerow(row)
    return path
