"""The photo with a box and the predicted expression for each face."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from PIL import Image

from fer_utils.common.errors import UserError
from fer_utils.common.files import write_atomically
from fer_utils.detector.detector import Face
from fer_utils.detector.photos import open_photo

INK, PAPER = (20, 20, 20), (255, 255, 255)


def annotate(photo, faces: list[Face], longest: int = 1920, numbers: Sequence[int] | None = None) -> Image.Image:
    """Return the photo in its colours with a box, a number and a label on every face, as an RGB PIL image.

    Args:
        photo: whatever `fer_utils.detector.photos.open_photo` opens.
        faces: what an `EmotionDetector` found in it.
        longest: the longer side of the result is at most so many pixels, and at least 480.
        numbers: what to write before each label; by default 1, 2, 3 and so on.
    """
    # Only who looks at a result needs these.
    from PIL import ImageDraw, ImageFont

    photo = open_photo(photo)
    picture = Image.fromarray(photo.pixels)
    enlarge = min(max(1.0, 480 / max(picture.size)), longest / max(picture.size))
    if enlarge != 1:
        picture = picture.resize([max(1, round(side * enlarge)) for side in picture.size], Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    line = max(2, max(picture.size) // 350)
    boxes = [[round(value * enlarge / photo.scale) for value in face.box] for face in faces]
    for x, y, width, height in boxes:
        # A light line within a dark one can be seen on any ground, also without colours.
        draw.rectangle((x - 1, y - 1, x + width + 1, y + height + 1), outline=INK, width=line + 2)
        draw.rectangle((x, y, x + width, y + height), outline=PAPER, width=line)
    numbers = numbers or range(1, len(faces) + 1)
    for number, face, (x, y, width, height) in zip(numbers, faces, boxes, strict=True):
        text = f"{number} {face.label} {face.confidence:.0%}" + (" ?" if face.unsure else "")
        font = ImageFont.load_default(min(max(width / 6, max(picture.size) / 55, 12), max(picture.size) / 20))
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        wide, high = right - left + 10, bottom + 8
        x = min(max(x, 0), max(picture.width - wide, 0))
        y = y - high if y >= high else min(y + height, picture.height - high)
        draw.rectangle((x, y, x + wide, y + high), fill=INK)
        draw.text((x + 5 - left, y + 4), text, fill=PAPER, font=font)
    return picture


def save_annotated(photo, faces: list[Face], folder: str | Path, taken: Sequence[Path] = ()) -> Path:
    """Write an annotated copy of a photo as PNG into a folder and return its path; no file is ever overwritten.

    The copy of photo.jpg is called photo.png, or photo_2.png, photo_3.png and so on where such files exist.

    Args:
        photo: whatever `fer_utils.detector.photos.open_photo` opens.
        faces: what an `EmotionDetector` found in it.
        folder: created if missing.
        taken: names that must stay free even where there is no file yet.

    Raises:
        UserError: if the folder cannot be written to.
    """
    photo, folder = open_photo(photo), Path(folder)
    picture = annotate(photo, faces)
    path = new_file(folder, Path(photo.name).stem, ".png", taken)
    try:
        write_atomically(path, lambda file: picture.save(file, "PNG"))
    except BaseException:
        path.unlink()
        raise
    return path


def new_file(folder: Path, stem: str, ending: str, taken: Sequence[Path] = ()) -> Path:
    """Create an empty file called stem.png, stem_2.png and so on, whichever is free, and return its path.

    Raises:
        UserError: if the folder cannot be written to.
    """
    taken = {path.resolve() for path in taken}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            path = folder / (f"{stem}_{number}{ending}" if number > 1 else f"{stem}{ending}")
            # "x" refuses what exists, also what another program has written since one looked.
            with suppress(FileExistsError):
                if path.resolve() not in taken:
                    path.open("xb").close()
                    return path
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror or error})") from error
