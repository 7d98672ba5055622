"""The competition's CSV: `emotion,pixels,Usage`, one row a picture, 2,304 numbers in one string."""

from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from fer_utils.dataset.records import FerDataset, SkippedFile, fingerprint_of
from fer_utils.errors import UserError
from fer_utils.labels import EMOTIONS, IMAGE_SIZE, USAGES

PIXELS = IMAGE_SIZE * IMAGE_SIZE
ROWS_AT_ONCE = 1024
SPACE, ZERO = ord(" "), ord("0")


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
    images, labels, usage, names, skipped = [], [], [], [], []
    row = 0
    try:
        with tqdm(total=size, desc="reading CSV", unit="B", unit_scale=True, disable=not progress, leave=False) as bar:
            for table in pd.read_csv(stream, dtype=str, chunksize=ROWS_AT_ONCE, keep_default_na=False):
                table.columns = table.columns.str.strip()
                _check_columns(table, source)
                good, pixels, emotion, part, reasons = _check_rows(table)
                images.append(pixels)
                labels.append(emotion)
                usage.append(part)
                numbers = np.arange(row + 1, row + 1 + len(table))
                names.extend(f"row {number}" for number in numbers[good])
                skipped.extend(
                    SkippedFile(f"row {number}", reason)
                    for number, reason in zip(numbers, reasons, strict=True)
                    if reason
                )
                row += len(table)
                bar.update(int(table["pixels"].str.len().sum()))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        message = str(error).splitlines()[0]
        raise UserError(f"{source} is not a readable CSV ({message}): download it again") from error
    if not names:
        first = f" (first: {skipped[0].name}: {skipped[0].reason})" if skipped else ""
        raise UserError(f"{source} has no usable row{first}: expected emotion,pixels,Usage")
    images, labels, usage = np.concatenate(images), np.concatenate(labels), np.concatenate(usage)
    return FerDataset(
        images, labels, usage, np.asarray(names, dtype=np.str_), str(source), form,
        fingerprint_of(images, labels, usage), skipped,
    )  # fmt: skip


def _check_columns(table: pd.DataFrame, source: Path) -> None:
    missing = {"emotion", "pixels"} - set(table.columns)
    if missing:
        raise UserError(
            f"{source} lacks the column {' and '.join(sorted(missing))} (it has {', '.join(table.columns)}): "
            "expected emotion,pixels,Usage"
        )


def _check_rows(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Return (good bool (n,), images of the good, labels of the good, usage of the good, reasons, "" where good)."""
    emotion = pd.to_numeric(table["emotion"].str.strip(), errors="coerce").to_numpy(float)
    known = np.isin(emotion, range(len(EMOTIONS)))
    # The "test" table of the competition has no Usage; Kaggle's training table neither.
    usage = table["Usage"].str.strip().to_numpy(np.str_) if "Usage" in table else np.full(len(table), "Training")
    official = np.isin(usage, USAGES)
    images, whole = _parse_pixels(table["pixels"].to_list())
    reasons = [
        f"label '{table['emotion'].iloc[i]}' is not 0 to {len(EMOTIONS) - 1}" if not known[i]
        else f"usage '{usage[i]}' is not one of {', '.join(USAGES)}" if not official[i]
        else f"pixels are not {PIXELS} numbers from 0 to 255" if not whole[i]
        else ""
        for i in range(len(table))
    ]  # fmt: skip
    good = known & official & whole
    return good, images[good], emotion[good].astype(np.int64), usage[good], reasons


def _parse_pixels(rows: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return (uint8 (n, 48, 48), bool (n,) whether the row was sound; a row that was not is left black)."""
    text = " ".join(rows)
    values = _parse_regular(text.encode("ascii", "replace"))
    if values is not None and len(values) == PIXELS * len(rows):
        lengths = [row.count(" ") + 1 for row in rows]
        if all(length == PIXELS for length in lengths):
            return values.reshape(-1, IMAGE_SIZE, IMAGE_SIZE), np.ones(len(rows), bool)
    if len(rows) == 1:
        return _parse_one(rows[0])
    middle = len(rows) // 2
    halves = _parse_pixels(rows[:middle]), _parse_pixels(rows[middle:])
    return np.concatenate([half[0] for half in halves]), np.concatenate([half[1] for half in halves])


def _parse_regular(text: bytes) -> np.ndarray | None:
    """Parse numbers of one to three digits parted by single spaces, all at once; None if it is anything else.

    Three look-ups at fixed distances before each space replace a loop over 82 million numbers.
    """
    characters = np.frombuffer(b"   " + text + b" ", np.uint8)
    ends = np.flatnonzero(characters == SPACE)[3:]
    lengths = np.diff(ends, prepend=2) - 1
    digits = characters - ZERO
    if ((digits > 9) & (characters != SPACE)).any() or lengths.min() < 1 or lengths.max() > 3:
        return None
    value = digits[ends - 1].astype(np.int16)
    value += np.where(lengths > 1, digits[ends - 2], 0) * np.int16(10)
    value += np.where(lengths > 2, digits[ends - 3], 0) * np.int16(100)
    return value.astype(np.uint8) if value.max() <= 255 else None


def _parse_one(row: str) -> tuple[np.ndarray, np.ndarray]:
    """Parse a row with odd spacing slowly; a row that is not 2,304 numbers from 0 to 255 is unsound."""
    try:
        values = np.array(row.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        values = np.empty(0, np.int64)
    sound = len(values) == PIXELS and values.min() >= 0 and values.max() <= 255
    if not sound:
        values = np.zeros(PIXELS)
    return values.astype(np.uint8).reshape(1, IMAGE_SIZE, IMAGE_SIZE), np.array([sound])
