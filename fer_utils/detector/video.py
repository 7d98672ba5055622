"""The faces of a video: every n-th frame, each person followed from frame to frame."""

import math
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fer_utils.common.errors import UserError
from fer_utils.detector.annotate import annotate
from fer_utils.detector.detector import EmotionDetector, Face

# A box is the same person's as an earlier one that it overlaps by so much (intersection over union) …
SAME_PERSON = 0.3

# … in one of so many frames before: people look away, and are missed once in a while.
REMEMBERED = 5

# For a video that does not say how many frames it shows in a second.
USUAL_RATE = 25.0


class Frame(NamedTuple):
    """One frame that was looked at: its number from 0, its time in seconds, pixels uint8 (height, width, 3) red first,
    its faces, and a number for each: the same person keeps it, 1 for the first."""

    number: int
    seconds: float
    pixels: np.ndarray
    faces: list[Face]
    people: list[int]


class Video:
    """A video file, to be iterated over once.

    Args:
        path: of the file.
        every: look at every n-th frame.

    Raises:
        UserError: if OpenCV finds no frame in it.
    """

    def __init__(self, path: str | Path, every: int = 5):
        self.path, self.every = Path(path), every
        if not self.path.is_file():
            raise UserError(f"no such file: {path}")
        self._capture = cv2.VideoCapture(str(path))
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if math.isfinite(rate) and rate > 0 else USUAL_RATE
        if not self._capture.grab():
            raise UserError(f"{self.path.name} holds no video that OpenCV can read: convert it to .mp4 (H.264)")

    def __len__(self) -> int:
        """About how many frames will be looked at, by what the file says of itself; 0 where it does not."""
        return math.ceil(max(0, self._capture.get(cv2.CAP_PROP_FRAME_COUNT)) / self.every)

    def __iter__(self) -> Iterator[tuple[int, float, np.ndarray]]:
        """Yield number, time in seconds and pixels of every n-th frame; only these are decoded as a whole."""
        number = 0
        try:
            while number == 0 or self._capture.grab():
                if number % self.every == 0:
                    right, pixels = self._capture.retrieve()
                    if not right:
                        return
                    yield number, number / self.rate, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
                number += 1
        finally:
            self._capture.release()


class Follower:
    """Gives each face the number of the person whose box it overlaps most, or a new one."""

    def __init__(self):
        self._last, self._frame, self._people = {}, 0, 0

    def __call__(self, faces: list[Face]) -> list[int]:
        """Return a number for each face of the next frame."""
        self._frame += 1
        self._last = {who: seen for who, seen in self._last.items() if seen[0] >= self._frame - REMEMBERED}
        pairs = [
            (overlap(face.box, box), i, who)
            for i, face in enumerate(faces)
            for who, (_, box) in self._last.items()
            if overlap(face.box, box) >= SAME_PERSON
        ]
        numbers = {}
        for _, i, who in sorted(pairs, reverse=True):
            if i not in numbers and who not in numbers.values():
                numbers[i] = who
        for i, face in enumerate(faces):
            if i not in numbers:
                self._people += 1
                numbers[i] = self._people
            self._last[numbers[i]] = self._frame, face.box
        return [numbers[i] for i in range(len(faces))]


def overlap(one: tuple, other: tuple) -> float:
    """Return the intersection over union of two boxes x, y, width, height, 0..1."""
    sides = [
        min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i]) for i in (0, 1)
    ]  # Negative where they lie apart.
    common = max(sides[0], 0) * max(sides[1], 0)
    union = one[2] * one[3] + other[2] * other[3] - common
    return common / union if union else 0.0


def watch(video: Video, detector: EmotionDetector) -> Iterator[Frame]:
    """Yield the frames of a video that are looked at, with their faces and who they are."""
    follow = Follower()
    for number, seconds, pixels in video:
        # A video is upright, or its file says so and OpenCV turns it.
        faces = detector(pixels, turn=False)
        yield Frame(number, seconds, pixels, faces, follow(faces))


@contextmanager
def annotated_copy(path: Path | None, rate: float):
    """Write a video of the frames that were looked at, with boxes and labels.

    Yields a function that adds a `Frame`. However the work ends, also by Ctrl+C, the file is closed and whole, as far
    as it goes. Until then it has another name.

    Args:
        path: of the `.mp4` file; None to write nothing.
        rate: frames in a second.
    """
    beside, writer = path and path.with_name(f".{uuid.uuid4().hex[:8]}{path.suffix}"), None

    def add(frame: Frame) -> None:
        nonlocal writer
        if path is None:
            return
        picture = np.asarray(annotate(frame.pixels, frame.faces, numbers=frame.people))
        # Codecs want even sides.
        picture = picture[: len(picture) // 2 * 2, : picture.shape[1] // 2 * 2]
        if writer is None:
            size = picture.shape[1::-1]
            writer = cv2.VideoWriter(str(beside), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
            if not writer.isOpened():
                raise UserError(f"cannot write the video {path}")
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    try:
        yield add
    finally:
        if writer is not None:
            writer.release()
            os.replace(beside, path)
        elif path:
            path.unlink(missing_ok=True)
