"""What picture is in a file's bytes."""

import struct

import cv2
import numpy as np

from fer_utils.common.labels import IMAGE_SIZE

COLOUR = "colour"
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
END_OF_PNG, END_OF_JPEG = b"IEND\xaeB\x60\x82", b"\xff\xd9"
# Segments of a JPEG that give its size: all frames, less three that share the numbers.
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def decode(content: bytes) -> tuple[np.ndarray | None, str]:
    """Decode one picture.

    Returns:
        (uint8 (48, 48), "") for a grey picture, (…, "colour") for one that was turned to grey, or
        (None, the reason) for a file that is no 48×48 picture.
    """
    if not content:
        return None, "empty, or cannot be read"
    # Before it is decoded: a file of a hundred kB may unpack to gigabytes.
    size = picture_size(content)
    if size is None:
        return None, "not a readable image"
    if size != (IMAGE_SIZE, IMAGE_SIZE):
        return None, f"{size[0]}×{size[1]} pixels instead of {IMAGE_SIZE}×{IMAGE_SIZE}"
    if not is_whole(content):
        return None, "cut short"
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.shape[:2] != (IMAGE_SIZE, IMAGE_SIZE):
        return None, "not a readable image"
    if image.dtype != np.uint8:
        image = (image / 257).round().astype(np.uint8)
    if image.ndim == 3 and image.shape[2] >= 3:
        return cv2.cvtColor(image[:, :, :3], cv2.COLOR_BGR2GRAY), COLOUR
    return image.reshape(IMAGE_SIZE, IMAGE_SIZE, -1)[:, :, 0], ""


def is_whole(content: bytes) -> bool:
    """Return whether a JPEG or PNG has its end: a decoder would fill what is missing with grey, without a word."""
    end = END_OF_JPEG if content.startswith(JPEG) else END_OF_PNG
    return end in content.rstrip(b"\0")[-64:]


def picture_size(content: bytes) -> tuple[int, int] | None:
    """Return (width, height) in pixels that the head of a JPEG or PNG names; None for anything else."""
    try:
        if content.startswith(PNG) and content[12:16] == b"IHDR":
            return struct.unpack_from(">II", content, 16)
        place = 2 if content.startswith(JPEG) else len(content)
        while content[place] == 0xFF:
            marker = content[place + 1]
            if marker == 0xFF:  # a byte that fills
                place += 1
                continue
            if marker in FRAMES:
                height, width = struct.unpack_from(">HH", content, place + 5)
                return width, height
            place += 2 + struct.unpack_from(">H", content, place + 2)[0]
    except (IndexError, struct.error):
        pass
    return None
