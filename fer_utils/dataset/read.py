"""Decoding FER-2013: a folder, zip or tar of pictures, or the competition's CSV, also inside one of these."""

import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.common.labels import IMAGE_SIZE, USAGES
from fer_utils.dataset.archives import DAMAGED, GET_AGAIN, GZIP, MOST_BYTES_OF_TABLE, Files
from fer_utils.dataset.csv_form import read_csv
from fer_utils.dataset.fer_dataset import FerDataset, SkippedFile, fingerprint_of
from fer_utils.dataset.files import open_files
from fer_utils.dataset.names import as_told, classify, official_usage, quoted, settle_parts
from fer_utils.dataset.pictures import COLOUR, decode

FILES_AT_ONCE = 256
# The competition's archive has two tables beside the one that is meant, and Kaggle's a packed one.
USUAL_TABLES = ("fer2013.csv", "icml_face_data.csv", "fer2013.tar.gz", "fer2013.csv.gz")


def read_source(source: str | Path, form: str, progress: bool = True) -> FerDataset:
    """Decode a folder, zip or `.tar.gz` of pictures, a CSV, or a CSV in one of these.

    Args:
        source: the file or folder.
        form: from `files.form_of`.
        progress: whether to show a progress bar.

    Raises:
        UserError: if nothing usable is in it; the message names the next step.
    """
    source = Path(source)
    if form == "csv":
        return _read_table(source, source.name, lambda: source.open("rb"), form, source.stat().st_size, progress)
    with open_files(source, form) as files:
        return _read_files(files, source, form, progress)


def _read_files(files: Files, source: Path, form: str, progress: bool, nested: bool = False) -> FerDataset:
    meanings = [classify(name) for name in files.names]
    table = best_table(files.names) if all(isinstance(meaning, str) for meaning in meanings) else None
    if table is None:
        return _read_pictures(files, meanings, source, form, progress)
    name = files.names[table]
    if not name.lower().endswith(".tar.gz"):
        return _read_table(source, name, lambda: files.open(table), form, files.sizes[table], progress)
    if nested:
        raise UserError(f"{source} is an archive in an archive in an archive: unpack it and point to the table")
    with files.open(table) as stream, open_files(source / name, "tar.gz", stream) as inner:
        return _read_files(inner, source, form, progress, nested=True)


def best_table(names: list[str]) -> int | None:
    """Return the position of FER-2013's CSV, or of the archive with it: by its usual names first, else the only CSV."""
    lowered = [name.lower().rpartition("/")[2] for name in names]
    for usual in USUAL_TABLES:
        if usual in lowered:
            return lowered.index(usual)
    tables = [position for position, name in enumerate(lowered) if name.endswith((".csv", ".csv.gz"))]
    return tables[0] if len(tables) == 1 else None


def _read_table(source: Path, name: str, open_it, form: str, size: int, progress: bool) -> FerDataset:
    if size > MOST_BYTES_OF_TABLE:
        raise UserError(f"{source} has a table of {size / 2**30:.1f} GiB, far more than FER-2013: {GET_AGAIN}")
    try:
        with open_it() as stream:
            packed = stream.read(2) == GZIP
            stream.seek(0)
            return read_csv(gzip.open(stream) if packed else stream, source, form, size, progress)
    except UserError:
        raise
    except DAMAGED as error:
        raise UserError(f"{source} has a damaged {name} ({quoted(str(error))}): {GET_AGAIN}") from error


def _read_pictures(files: Files, meanings: list, source: Path, form: str, progress: bool) -> FerDataset:
    twice = files.twice
    reasons = [
        "two files have this name" if name in twice else meaning if isinstance(meaning, str) else ""
        for name, meaning in zip(files.names, meanings, strict=True)
    ]
    images = _decode_all(files, reasons, progress)
    skipped = [
        SkippedFile(name, reason)
        for name, reason in zip(files.names, reasons, strict=True)
        if reason not in ("", COLOUR)
    ]
    rows = [row for row, reason in enumerate(reasons) if reason in ("", COLOUR)]
    if not rows:
        first = f" (first: {quoted(skipped[0].name)}: {skipped[0].reason})" if skipped else ""
        raise UserError(
            f"{source} has no FER-2013 image among its {len(skipped)} files{first}: "
            "expected train/<emotion>/*.jpg and test/<emotion>/*.jpg"
        )
    parts = {meaning[0] for meaning in meanings if not isinstance(meaning, str)}
    usages, notes = settle_parts(parts), []
    names = [files.names[row] for row in rows]
    if parts - set(USAGES):
        unofficial = sum(official_usage(name.rpartition("/")[2]) is None for name in names)
        notes.append(f"{unofficial} file names do not tell the official usage; by folder, {as_told(usages)}")
    colour = reasons.count(COLOUR)
    if colour:
        notes.append(f"{colour} colour images were converted to grey")
    images = images if len(rows) == len(images) else images[rows]
    labels = np.asarray([meanings[row][1] for row in rows], np.int64)
    usage = np.asarray([usages[meanings[row][0]] for row in rows], dtype=np.str_)
    names = np.asarray(names, dtype=np.str_)
    fingerprint = fingerprint_of(images, labels, usage)
    return FerDataset(images, labels, usage, names, str(source), form, fingerprint, skipped, notes)


def _decode_all(files: Files, reasons: list[str], progress: bool) -> np.ndarray:
    """Read and decode, in threads, the files that have no reason yet; zlib and OpenCV let go of Python's lock.

    Args:
        files: the source.
        reasons: why there is no picture, one a file; changed in place: "", "colour", or why there is none.
        progress: whether to show a progress bar.

    Returns:
        uint8 (n, 48, 48), one a file; black where there is none.
    """
    images = np.zeros((len(files.names), IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    wanted = [row for row in files.order if not reasons[row]]

    def work(start: int) -> None:
        some = wanted[start : start + FILES_AT_ONCE]
        for row in some:
            image, reasons[row] = decode(files.read(row))
            if image is not None:
                images[row] = image
        bar.update(len(some))

    with (
        ThreadPoolExecutor(1 if files.in_turn else os.cpu_count()) as pool,
        tqdm(total=len(wanted), desc="reading images", unit="file", disable=not progress, leave=False) as bar,
    ):
        for _ in pool.map(work, range(0, len(wanted), FILES_AT_ONCE)):
            pass
    return images
