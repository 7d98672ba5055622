"""The competition's CSV: `emotion,pixels,Usage`, one row a picture, 2,304 numbers in one string."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE, USAGES
from fer_utils.dataset.archives import GET_AGAIN, MOST_BYTES_OF_TABLE, MOST_FILES
from fer_utils.dataset.fer_dataset import FerDataset, SkippedFile, fingerprint_of
from fer_utils.dataset.names import as_told, part_of, quoted, settle_parts

PIXELS = IMAGE_SIZE * IMAGE_SIZE
BLOCK_BYTES = 2**20
# A row has about 8,500.
LONGEST_LINE = 2**17
# Columns beyond those of the header, so that a row with too many fields is one bad row and no bad table.
SPARE = 8


def read_csv(stream: IO[bytes], source: Path, form: str, size: int, progress: bool) -> FerDataset:
    """Read the table from an open binary stream, block by block.

    Args:
        stream: positioned at the start of the table.
        source: what to call it in messages.
        form: "csv", "tar.gz", "zip" or "folder", for the record.
        size: bytes to expect, for the progress bar.
        progress: whether to show one.

    Raises:
        UserError: if columns are missing, the table is damaged or endless, or no row is usable.
    """
    images, labels, parts, rows, skipped, n = [], [], [], [], [], 0
    try:
        with tqdm(total=size, desc="reading CSV", unit="B", unit_scale=True, disable=not progress, leave=False) as bar:
            columns, separator = _read_header(stream.readline(LONGEST_LINE), source)
            for block in _blocks(stream):
                n_lines = 0 if block.isspace() else len(re.findall(rb"[^\s][^\n]*", block))
                if n + n_lines > MOST_FILES:
                    raise UserError(f"{source} has more than {MOST_FILES:,} rows, far more than FER-2013: {GET_AGAIN}")
                for row in _parse(block, n_lines, columns, separator):
                    n += 1
                    image, label, part, reason = _read_row(*row)
                    if reason:
                        skipped.append(SkippedFile(f"row {n}", reason))
                        continue
                    for column, value in ((images, image), (labels, label), (parts, part), (rows, n)):
                        column.append(value)
                bar.update(len(block))
    except (UnicodeDecodeError, csv.Error, pd.errors.ParserError, pd.errors.EmptyDataError, _NotATable) as error:
        raise UserError(f"{source} is not a readable CSV ({quoted(str(error), 80)}): download it again") from error
    if not rows:
        first = f" (first: {skipped[0].name}: {skipped[0].reason})" if skipped else ""
        raise UserError(f"{source} has no usable row{first}: expected emotion,pixels,Usage")
    usages = settle_parts(set(parts))
    notes = [as_told(usages)] if set(parts) - set(USAGES) else []
    if "Usage" not in columns:
        notes = ["the table has no column Usage, so every row counts as Training"]
    images, labels = np.array(images), np.asarray(labels, np.int64)
    usage = np.asarray([usages[part] for part in parts], dtype=np.str_)
    names = np.asarray([f"row {row}" for row in rows], dtype=np.str_)
    fingerprint = fingerprint_of(images, labels, usage)
    return FerDataset(images, labels, usage, names, str(source), form, fingerprint, skipped, notes)


class _NotATable(ValueError):
    """The bytes cannot be a table."""


def _read_header(line: bytes, source: Path) -> tuple[list[str], str]:
    """Return (the names of the columns, the three that count as the competition writes them; what parts them)."""
    text = line.decode("utf-8-sig")
    separator = max(",;\t", key=text.count)
    columns = [column.strip() for column in next(csv.reader([text], delimiter=separator), [])]
    if not columns:
        raise _NotATable("it is empty")
    usual = {"emotion": "emotion", "pixels": "pixels", "usage": "Usage"}
    missing = {"emotion", "pixels"} - {column.lower() for column in columns}
    if missing:
        raise UserError(
            f"{source} lacks the column {' and '.join(sorted(missing))} (its first line is "
            f"{quoted(', '.join(columns))}): expected emotion,pixels,Usage"
        )
    return [usual.get(column.lower(), column) for column in columns], separator


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield blocks of whole lines."""
    n_bytes = 0
    while block := stream.read(BLOCK_BYTES):
        line = stream.readline(LONGEST_LINE)
        n_bytes += len(block) + len(line)
        if len(line) == LONGEST_LINE:
            raise _NotATable(f"a line is longer than {LONGEST_LINE:,} bytes")
        if n_bytes > MOST_BYTES_OF_TABLE:
            raise _NotATable(f"it is longer than {MOST_BYTES_OF_TABLE / 2**20:,.0f} MiB")
        yield block + line


def _parse(block: bytes, n_lines: int, columns: list[str], separator: str) -> Iterable[tuple[str, str, str, bool]]:
    """Return the rows of a block: emotion, pixels and Usage as text, and whether there are more fields than columns."""
    if not n_lines:
        return []
    table = pd.read_csv(
        io.BytesIO(block),
        sep=separator,
        header=None,
        names=range(len(columns) + SPARE),
        index_col=False,
        dtype=object,
        keep_default_na=False,
        encoding_errors="replace",
    ).fillna("")
    if len(table) != n_lines:
        raise _NotATable("a quotation mark is not closed")
    usage = table[columns.index("Usage")] if "Usage" in columns else ["Training"] * n_lines
    too_many = (table.iloc[:, len(columns) :] != "").any(axis=1)
    return zip(table[columns.index("emotion")], table[columns.index("pixels")], usage, too_many, strict=True)


def _read_row(emotion: str, pixels: str, usage: str, too_many: bool) -> tuple[np.ndarray | None, int, str, str]:
    """Return (uint8 (48, 48), label, part, ""), or as the last one the reason why the row is no picture."""
    label, part, image = _label(emotion), part_of(usage), _parse_pixels(pixels)
    reason = (
        "it has more fields than the header"
        if too_many
        else f"label '{quoted(emotion)}' is not 0 to {len(EMOTIONS) - 1}"
        if label is None
        else f"usage '{quoted(usage)}' is not one of {', '.join(USAGES)}"
        if part is None
        else f"pixels are not {PIXELS} numbers from 0 to 255"
        if image is None
        else ""
    )
    return image, label, part, reason


def _label(text: str) -> int | None:
    try:
        # Tables saved by other programs may say 3.0.
        value = float(text)
    except ValueError:
        return None
    return int(value) if value in range(len(EMOTIONS)) else None


def _parse_pixels(text: str) -> np.ndarray | None:
    """Return uint8 (48, 48); None unless the text is 2,304 numbers from 0 to 255."""
    if not text.isascii() or text.encode().translate(None, b"0123456789 "):
        return None
    values = np.fromstring(text, np.int64, sep=" ")
    if len(values) != PIXELS or values.max() > 255:
        return None
    return values.astype(np.uint8).reshape(IMAGE_SIZE, IMAGE_SIZE)
