"""The competition's CSV: `emotion,pixels,Usage`, one row a picture, 2,304 numbers in one string.

A row is one line, and nothing in an honest copy needs the rules of quoting, so the table is cut into blocks of whole
lines that threads parse side by side; 82 million numbers are worth code of their own.
"""

import csv
import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE, USAGES
from fer_utils.dataset.fer_dataset import FerDataset, SkippedFile, fingerprint_of

PIXELS = IMAGE_SIZE * IMAGE_SIZE

BLOCK_BYTES = 2**20

LONGEST_LINE = 2**20

ROWS_AT_ONCE = 16

SPACE, ZERO = np.uint8(ord(" ")), np.uint8(ord("0"))

CODES = {str(code).encode(): code for code in range(len(EMOTIONS))}

PARTS = {usage.encode(): usage for usage in USAGES}

"""Bytes; a row has about 8,500."""

"""Rows parsed in one go. More would leave the processor's cache, and their arrays would be new memory each time."""


class Rows(NamedTuple):
    """Parsed lines: images, labels and usage of the good ones; for every line "" or what is wrong with it."""

    images: np.ndarray
    labels: list[int]
    usage: list[str]
    reasons: list[str]


def read_csv(stream: IO[bytes], source: Path, form: str, size: int, progress: bool) -> FerDataset:
    """Read the table from an open binary stream.

    Args:
        stream: positioned at the start of the table.
        source: what to call it in messages.
        form: "csv", "tar.gz" or "zip", for the record.
        size: bytes to expect, for the progress bar.
        progress: whether to show one.

    Raises:
        UserError: if columns are missing, the table is damaged, or no row is usable.
    """
    labels, usage, names, skipped = [], [], [], []
    # Room for as many rows as fit into the file; pages that are not written to cost nothing.
    images = np.empty((size // (2 * PIXELS) + 1, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    digest = hashlib.sha256()
    try:
        blocks = _blocks(stream)
        columns = _read_header(next(blocks, b""), source)
        with tqdm(total=size, desc="reading CSV", unit="B", unit_scale=True, disable=not progress, leave=False) as bar:
            for block, rows in _parse_all(blocks, columns):
                first = len(names) + len(skipped) + 1
                filled = len(names) + len(rows.images)
                if filled > len(images):
                    images.resize((2 * filled, IMAGE_SIZE, IMAGE_SIZE), refcheck=False)
                images[len(names) : filled] = rows.images
                digest.update(rows.images.data)
                labels += rows.labels
                usage += rows.usage
                for number, reason in enumerate(rows.reasons, first):
                    if reason:
                        skipped.append(SkippedFile(f"row {number}", reason))
                    else:
                        names.append(f"row {number}")
                bar.update(len(block))
    except (UnicodeDecodeError, csv.Error, _NotATable) as error:
        raise UserError(f"{source} is not a readable CSV ({error}): download it again") from error
    if not names:
        first = f" (first: {skipped[0].name}: {skipped[0].reason})" if skipped else ""
        raise UserError(f"{source} has no usable row{first}: expected emotion,pixels,Usage")
    images.resize((len(names), IMAGE_SIZE, IMAGE_SIZE), refcheck=False)
    labels, usage = np.asarray(labels, np.int64), np.asarray(usage, dtype=np.str_)
    return FerDataset(
        images,
        labels,
        usage,
        np.asarray(names, dtype=np.str_),
        str(source),
        form,
        fingerprint_of(images, labels, usage, digest),
        skipped,
    )


class _NotATable(ValueError):
    """The bytes cannot be a table."""


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the first line, then blocks of whole lines."""
    rest, in_header = b"", True
    while read := stream.read(BLOCK_BYTES):
        rest += read
        end = rest.find(b"\n") if in_header else rest.rfind(b"\n")
        if end >= 0 and in_header:
            yield rest[:end]
            in_header, rest = False, rest[end + 1 :]
            end = rest.rfind(b"\n")
        if end >= 0:
            yield rest[:end]
            rest = rest[end + 1 :]
        if len(rest) > LONGEST_LINE:
            raise _NotATable(f"a line is longer than {LONGEST_LINE:,} bytes")
    if rest:
        yield rest


def _read_header(line: bytes, source: Path) -> list[str]:
    columns = [column.strip() for column in next(csv.reader([line.decode("utf-8-sig")]), [])]
    if not columns:
        raise _NotATable("it is empty")
    missing = {"emotion", "pixels"} - set(columns)
    if missing:
        raise UserError(
            f"{source} lacks the column {' and '.join(sorted(missing))} (it has {', '.join(columns)}): "
            "expected emotion,pixels,Usage"
        )
    return columns


def _parse_all(blocks: Iterator[bytes], columns: list[str]) -> Iterator[tuple[bytes, Rows]]:
    """Yield (block, what is in it) in order, parsed in threads: NumPy lets go of Python's lock."""
    workers = os.cpu_count() or 1
    waiting: deque = deque()
    with ThreadPoolExecutor(workers) as pool:
        for block in blocks:
            if len(waiting) == 2 * workers:
                block_done, future = waiting.popleft()
                yield block_done, future.result()
            waiting.append((block, pool.submit(_parse_block, block, columns)))
        for block, future in waiting:
            yield block, future.result()


def _parse_block(block: bytes, columns: list[str]) -> Rows:
    emotion, pixels = columns.index("emotion"), columns.index("pixels")
    # The "test" table of the competition has no Usage; Kaggle's training table neither.
    usage = columns.index("Usage") if "Usage" in columns else None
    rows = [_fields(line, len(columns)) for line in block.split(b"\n") if line.strip()]
    images, whole = _parse_pixels([row[pixels] for row in rows])
    labels, parts, reasons = [], [], []
    for row, sound in zip(rows, whole.tolist(), strict=True):
        code = _label(row[emotion])
        part = "Training" if usage is None else PARTS.get(row[usage].strip())
        reasons.append(
            f"label '{_shown(row[emotion])}' is not 0 to {len(EMOTIONS) - 1}"
            if code is None
            else f"usage '{_shown(row[usage].strip())}' is not one of {', '.join(USAGES)}"
            if part is None
            else f"pixels are not {PIXELS} numbers from 0 to 255"
            if not sound
            else ""
        )
        if not reasons[-1]:
            labels.append(code)
            parts.append(part)
    good = [not reason for reason in reasons]
    return Rows(images if all(good) else images[good], labels, parts, reasons)


def _fields(line: bytes, n: int) -> list[bytes]:
    """Return the n fields of a line; one that the line lacks is empty, and so are all if it has too many."""
    fields = line.rstrip(b"\r").split(b",")
    if b'"' in line:
        # A byte that is not UTF-8 costs its own row at most: the numbers and names that count are ASCII.
        text = line.decode(errors="surrogateescape")
        fields = [field.encode(errors="surrogateescape") for field in next(csv.reader([text], strict=True))]
    return [b""] * n if len(fields) > n else fields + [b""] * (n - len(fields))


def _shown(field: bytes) -> str:
    return field.decode(errors="replace")


def _label(text: bytes) -> int | None:
    text = text.strip()
    if text in CODES:
        return CODES[text]
    try:
        # Tables saved by other programs may say 3.0.
        value = float(text)
    except ValueError:
        return None
    return int(value) if value in range(len(EMOTIONS)) else None


def _parse_pixels(rows: list[bytes | str]) -> tuple[np.ndarray, np.ndarray]:
    """Return (uint8 (n, 48, 48), bool (n,) whether the row was sound; a row that was not is left black)."""
    rows = [row.encode("ascii", "replace") if isinstance(row, str) else row for row in rows]
    images, sound = np.zeros((len(rows), IMAGE_SIZE, IMAGE_SIZE), np.uint8), np.zeros(len(rows), bool)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        images[some], sound[some] = _parse_some(rows[some])
    return images, sound


def _parse_some(rows: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    values = _parse_regular(rows)
    if values is not None:
        return values, np.ones(len(rows), bool)
    if len(rows) == 1:
        return _parse_one(rows[0])
    middle = len(rows) // 2
    halves = _parse_some(rows[:middle]), _parse_some(rows[middle:])
    return np.concatenate([half[0] for half in halves]), np.concatenate([half[1] for half in halves])


def _parse_regular(rows: list[bytes]) -> np.ndarray | None:
    """Parse rows of 2,304 numbers of one to three digits parted by single spaces; None if one is anything else.

    Each step treats all characters alike, digit or space, and so runs in the processor's vector unit: the number that
    would end at each character is computed, and afterwards the characters before a space are picked.
    """
    characters = np.frombuffer(b"   " + b" ".join(rows) + b" ", np.uint8)
    is_space = characters[3:] == SPACE
    digits = characters - ZERO
    is_digit = digits < 10
    if np.count_nonzero(is_digit) + np.count_nonzero(is_space) + 3 != len(characters):
        return None
    digits *= is_digit
    ends = np.flatnonzero(is_space)
    lengths = np.diff(ends, prepend=-1)
    per_row = np.cumsum([len(row) + 1 for row in rows]) - 1
    if len(ends) != PIXELS * len(rows) or lengths.min() < 2 or lengths.max() > 4:
        return None
    if not np.array_equal(ends[PIXELS - 1 :: PIXELS], per_row):
        return None
    tens_and_ones = digits[1:-1] * np.uint8(10)
    tens_and_ones += digits[2:]
    hundreds = digits[:-2] * is_digit[1:-1]
    hundreds *= is_digit[2:]
    values = tens_and_ones + hundreds * np.uint8(100)
    # Above 255 the sum has gone round and become smaller.
    if hundreds.max() > 2 or (values < tens_and_ones).any():
        return None
    return values[ends].reshape(-1, IMAGE_SIZE, IMAGE_SIZE)


def _parse_one(row: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Parse a row with odd spacing slowly; a row that is not 2,304 numbers from 0 to 255 is unsound."""
    try:
        values = np.array(row.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        values = np.empty(0, np.int64)
    sound = len(values) == PIXELS and values.min() >= 0 and values.max() <= 255
    if not sound:
        values = np.zeros(PIXELS)
    return values.astype(np.uint8).reshape(1, IMAGE_SIZE, IMAGE_SIZE), np.array([sound])
