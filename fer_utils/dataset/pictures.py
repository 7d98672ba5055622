"""What a file of FER-2013 stands for by its path, and what picture is in its bytes."""

import functools
from pathlib import PurePosixPath

import cv2
import numpy as np

from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE, USAGES

IMAGE_ENDINGS = (".jpeg", ".jpg", ".png")

SPLIT_FOLDERS = {"train": "Training", "test": "PublicTest"}

COLOUR = "colour"


def classify(name: str) -> tuple[str, int] | str:
    """Return (usage, label) that a file's path stands for, or the reason why it stands for none.

    The last two folders are the split and the emotion; the official usage is in the file's
    own name (`Training_…`, `PublicTest_…`, `PrivateTest_…`) where the copy kept it.
    """
    folder, _, file_name = name.rpartition("/")
    stem, dot, ending = file_name.rpartition(".")
    # As `os.path.splitext` has it, and three times as fast: dots at the beginning are not those of an extension.
    ending = dot + ending if stem.strip(".") else ""
    if ending.lower() not in IMAGE_ENDINGS:
        return f"extension '{ending}' is not one of {', '.join(IMAGE_ENDINGS)}"
    meaning = _classify_folder(folder)
    return meaning if isinstance(meaning, str) else (official_usage(file_name) or meaning[0], meaning[1])


# 32,000 files lie in 21 folders.
@functools.lru_cache(maxsize=1024)
def _classify_folder(folder: str) -> tuple[str, int] | str:
    parts = PurePosixPath(folder).parts
    if len(parts) < 2 or parts[-2].lower() not in SPLIT_FOLDERS:
        return "not in train/<emotion>/ or test/<emotion>/"
    if parts[-1].lower() not in EMOTIONS:
        return f"unknown emotion folder '{parts[-1]}'"
    return SPLIT_FOLDERS[parts[-2].lower()], EMOTIONS.index(parts[-1].lower())


def official_usage(file_name: str) -> str | None:
    """Return the competition's usage that a file name begins with, or None."""
    usage, underscore, _ = file_name.partition("_")
    return usage if underscore and usage in USAGES else None


def decode(content: bytes) -> tuple[np.ndarray | None, str]:
    """Decode one picture.

    Returns:
        (uint8 (48, 48), "") for a grey picture, (…, "colour") for one that was turned to grey, or
        (None, the reason) for a file that is no 48×48 picture.
    """
    if not content:
        return None, "empty, or cannot be read"
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        return None, "not a readable image"
    if image.shape[:2] != (IMAGE_SIZE, IMAGE_SIZE):
        return None, f"{image.shape[1]}×{image.shape[0]} pixels instead of {IMAGE_SIZE}×{IMAGE_SIZE}"
    if image.dtype != np.uint8:
        image = (image / 257).round().astype(np.uint8)
    if image.ndim == 3 and image.shape[2] >= 3:
        return cv2.cvtColor(image[:, :, :3], cv2.COLOR_BGR2GRAY), COLOUR
    return image.reshape(IMAGE_SIZE, IMAGE_SIZE, -1)[:, :, 0], ""
