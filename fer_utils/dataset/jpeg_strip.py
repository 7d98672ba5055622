"""Decoding hundreds of 48×48 JPEGs with one call of OpenCV, pixel for pixel as one by one.

Every picture of FER-2013 was saved with the same tables, so that its file differs from the others only in the scan,
which is what follows the header. JPEG lets a scan be cut into independent stretches by restart markers; so the scans of
many files, with such a marker between each two, are the scan of one picture as wide as theirs and many times as high.
That spares setting up a decoder for each file. Above all it lets threads work at the same time: with a call for each
file they spend much of their time handing Python's lock to each other.

Markers and segments are those of ITU-T T.81, annex B.
"""

import functools
from collections import defaultdict

import cv2
import numpy as np

from fer_utils.common.labels import IMAGE_SIZE

START, FRAME, TABLES = b"\xff\xd8", b"\xff\xc0", (b"\xff\xc4", b"\xff\xdb", b"\xff\xe0")

END = b"\xff\xd9"

RESTARTS = [b"\xff" + bytes([0xD0 + number]) for number in range(8)]

SCAN_HEADER = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"

# After so many blocks of 8×8 pixels, all those of a picture, comes a restart marker.
RESTART_INTERVAL = b"\xff\xdd\x00\x04" + ((IMAGE_SIZE // 8) ** 2).to_bytes(2, "big")

SIZE = IMAGE_SIZE.to_bytes(2, "big")

# Eight bits deep, height, width, and one component that is called 1 and has no finer neighbours.
GREY_FRAME = b"\x00\x0b\x08" + SIZE + SIZE + b"\x01\x01\x11"

HEIGHT_IN_FRAME = 5

# No JPEG is higher than 65,500 lines for libjpeg.
MOST_AT_ONCE = 65_500 // IMAGE_SIZE

FEWEST_AT_ONCE = 2


def decode_alike(contents: list[bytes], images: np.ndarray) -> list[int]:
    """Decode the files that are grey 48×48 JPEGs without a visible flaw and share their header with others.

    Args:
        contents: n files, whatever is in them; at best a few hundred.
        images: uint8 (n, 48, 48), filled where a file was decoded.

    Returns:
        The sorted positions of all others, which have to be decoded one by one.
    """
    alike, rest = defaultdict(list), []
    for position, content in enumerate(contents):
        header_length = content.find(SCAN_HEADER)
        if header_length > 0 and content.endswith(END):
            alike[content[:header_length]].append(position)
        else:
            rest.append(position)
    for header, positions in alike.items():
        strip = _decode_strip(header, [contents[position] for position in positions])
        if strip is None:
            rest += positions
        else:
            images[positions] = strip
    return sorted(rest)


def _decode_strip(header: bytes, contents: list[bytes]) -> np.ndarray | None:
    frame = _find_grey_frame(header)
    if frame is None or not FEWEST_AT_ONCE <= len(contents) <= MOST_AT_ONCE:
        return None
    height = frame + HEIGHT_IN_FRAME
    pieces = [header[:height], (len(contents) * IMAGE_SIZE).to_bytes(2, "big"), header[height + 2 :]]
    pieces += [RESTART_INTERVAL, SCAN_HEADER]
    strip_start, scan_start = sum(map(len, pieces)), len(header) + len(SCAN_HEADER)
    for number, content in enumerate(contents):
        pieces += content[scan_start : -len(END)], RESTARTS[number % 8]
    pieces[-1] = END
    strip = np.frombuffer(b"".join(pieces), np.uint8)
    if _count_markers(strip[strip_start:]) != len(contents):
        # A marker inside a scan is damage, and would be taken for the end of that picture or of another one.
        return None
    image = cv2.imdecode(strip, cv2.IMREAD_UNCHANGED)
    return None if image is None else image.reshape(-1, IMAGE_SIZE, IMAGE_SIZE)


def _count_markers(scans: np.ndarray) -> int:
    """Return how many bytes 255 are not followed by the 0 that makes them part of the picture."""
    is_255 = scans[:-1] == 0xFF
    n = np.count_nonzero(is_255)
    is_255 &= scans[1:] == 0
    return n - np.count_nonzero(is_255)


@functools.lru_cache(maxsize=256)
def _find_grey_frame(header: bytes) -> int | None:
    """Return where the frame segment of a plain grey 48×48 JPEG begins; None if its header is anything else."""
    if not header.startswith(START):
        return None
    place, frames = len(START), []
    while place + 4 <= len(header):
        marker = header[place : place + 2]
        length = int.from_bytes(header[place + 2 : place + 4], "big")
        if marker == FRAME and header[place + 2 :].startswith(GREY_FRAME):
            frames.append(place)
        elif marker not in TABLES:
            return None
        place += 2 + length
    return frames[0] if place == len(header) and len(frames) == 1 else None
