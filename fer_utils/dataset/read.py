"""The three forms of FER-2013: a zip, a folder, and the competition's CSV.

Nothing is ever unpacked to disk; every file is read in memory, within limits, so that a
damaged or hostile archive costs an error message and nothing else.
"""

import contextlib
import gc
import hashlib
import os
import tarfile
import zipfile
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.common.labels import IMAGE_SIZE
from fer_utils.dataset.csv_form import read_csv
from fer_utils.dataset.fer_dataset import FerDataset, SkippedFile, fingerprint_of
from fer_utils.dataset.files import FILES_AT_ONCE, GET_AGAIN, MOST_BYTES_IN_ALL, MOST_FILES, _Files, _open_files
from fer_utils.dataset.find import form_of
from fer_utils.dataset.jpeg_strip import decode_alike
from fer_utils.dataset.pictures import COLOUR, classify, decode, official_usage
from fer_utils.dataset.pictures import IMAGE_ENDINGS as IMAGE_ENDINGS

# Read, but not decoded yet: enough that reading ends well before decoding, and that memory stays bounded.
MOST_BYTES_WAITING = 64 * 2**20

PICTURES = ("", COLOUR)


def read_source(
    source: str | Path, progress: bool = True, meanwhile: Callable[[], object] = lambda: None
) -> FerDataset:
    """Decode a zip, folder, CSV, or a CSV inside a zip or `.tar.gz`.

    Args:
        source: the file or folder.
        progress: whether to show a progress bar.
        meanwhile: called once, when all bytes have been read; of pictures, many are then still being decoded.

    Raises:
        UserError: if nothing usable is in it; the message names the next step.
    """
    source = Path(source)
    form = form_of(source)
    if form in ("zip", "folder"):
        with _collection_paused(), _open_files(source) as files:
            table = _csv_inside(files.names) if form == "zip" else None
            if table is None:
                return _read_images(files, source, form, progress, meanwhile)
        dataset = _read_zipped_table(source, table, progress)
    elif form == "csv":
        with open(source, "rb") as stream:
            dataset = read_csv(stream, source, form, source.stat().st_size, progress)
    else:
        dataset = _read_tar(source, progress)
    meanwhile()
    return dataset


@contextlib.contextmanager
def _collection_paused():
    """Let Python not look for unused cycles of objects, which it would after every few hundred of many thousand."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read_zipped_table(source: Path, table: str, progress: bool) -> FerDataset:
    try:
        with zipfile.ZipFile(source) as archive, archive.open(table) as stream:
            return read_csv(stream, source, "zip", archive.getinfo(table).file_size, progress)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise UserError(f"{source} has a damaged {table} ({error}): {GET_AGAIN}") from error


def _read_images(files: _Files, source: Path, form: str, progress: bool, meanwhile: Callable) -> FerDataset:
    digest = hashlib.sha256()
    images, meanings, rows, remarks = _decode_all(files, digest, progress, meanwhile)
    # What a file is not, by its path or by its bytes; "" and "colour" are pictures.
    reasons = dict(enumerate(meanings)) | dict(zip(rows, remarks, strict=True))
    skipped = [SkippedFile(files.names[row], reason) for row, reason in reasons.items() if reason not in PICTURES]
    good = [position for position, remark in enumerate(remarks) if remark in PICTURES]
    if not good:
        first = f" (first: {skipped[0].name}: {skipped[0].reason})" if skipped else ""
        raise UserError(
            f"{source} has no FER-2013 image among its {len(skipped)} files{first}: "
            "expected train/<emotion>/*.jpg and test/<emotion>/*.jpg; symbolic links inside it are not followed"
        )
    if len(good) < len(rows):
        images, rows = images[good], [rows[position] for position in good]
        digest = None
    names = [files.names[row] for row in rows]
    notes = []
    unofficial = sum(official_usage(name.rpartition("/")[2]) is None for name in names)
    if unofficial:
        notes.append(
            f"{unofficial} file names do not tell the official usage; by folder, train counts as Training "
            "and test as PublicTest"
        )
    colour = remarks.count(COLOUR)
    if colour:
        notes.append(f"{colour} colour images were converted to grey")
    labels = np.asarray([meanings[row][1] for row in rows], np.int64)
    usage = np.asarray([meanings[row][0] for row in rows], dtype=np.str_)
    return FerDataset(
        images,
        labels,
        usage,
        np.asarray(names, dtype=np.str_),
        str(source),
        form,
        fingerprint_of(images, labels, usage, digest),
        skipped,
        notes,
    )


def _decode_all(files: _Files, digest, progress: bool, meanwhile: Callable) -> tuple[np.ndarray, list, list, list]:
    """Decode files in other threads while this one reads the next, and then with the help of this one.

    Only one reads: OpenCV and zlib let go of Python's lock for long, but a file is so short that several threads which
    read would spend more time handing the lock to each other. And as many threads as there are cores are enough: one
    more would keep the reading from its core.

    Args:
        files: the source.
        digest: a hash that is fed with the pictures in order, as long as all goes well.
        progress: whether to show a progress bar.
        meanwhile: called when everything is read.

    Returns:
        (uint8 (n, 48, 48), what `classify` says of each file, the positions of the n files that should be pictures,
        n remarks: "", "colour", or why there is no picture; there the array is not filled).
    """
    # What is not filled takes no memory, so it does no harm that some files are no pictures.
    images = np.empty((len(files.names), IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    meanings, rows, remarks = [], [], [""] * len(files.names)

    def work(start: int, raw) -> slice:
        contents = files.unpack(raw)
        for position in decode_alike(contents, images[start : start + len(contents)]):
            image, remarks[start + position] = decode(contents[position])
            if image is not None:
                images[start + position] = image
        return slice(start, start + len(contents))

    def take(done: slice) -> None:
        digest.update(images[done].data)
        bar.update(done.stop - done.start)

    with (
        ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1)) as pool,
        tqdm(total=len(files.names), desc="reading images", unit="file", disable=not progress, leave=False) as bar,
    ):
        waiting, held = deque(), 0
        for start in range(0, len(files.names), FILES_AT_ONCE):
            found = [classify(name) for name in files.names[start : start + FILES_AT_ONCE]]
            wanted = [row for row, meaning in enumerate(found, start) if not isinstance(meaning, str)]
            meanings += found
            if not wanted:
                continue
            raw, n_bytes = files.fetch(wanted)
            waiting.append((pool.submit(work, len(rows), raw), len(rows), raw, n_bytes))
            rows += wanted
            held += n_bytes
            while held > MOST_BYTES_WAITING:
                future, _, _, n_bytes = waiting.popleft()
                take(future.result())
                held -= n_bytes
        meanwhile()
        helped = []
        # From the end, where no other thread has begun.
        while waiting and waiting[-1][0].cancel():
            _, start, raw, _ = waiting.pop()
            helped.append(work(start, raw))
            while waiting and waiting[0][0].done():
                take(waiting.popleft()[0].result())
        for future, *_ in waiting:
            take(future.result())
        for done in reversed(helped):
            take(done)
    return images[: len(rows)], meanings, rows, remarks[: len(rows)]


def _csv_inside(names: list[str]) -> str | None:
    """Return the name of the competition's CSV if a zip has one and no train/ or test/ folder of images."""
    if any(not isinstance(classify(name), str) for name in names):
        return None
    return _best_csv(names, str)


def _best_csv(members: list, name_of):
    """Return the member that is FER-2013's CSV: by its usual names first, else the only one."""
    tables = [member for member in members if name_of(member).lower().endswith(".csv")]
    for usual in ("fer2013.csv", "icml_face_data.csv"):
        for member in tables:
            if PurePosixPath(name_of(member)).name.lower() == usual:
                return member
    return tables[0] if len(tables) == 1 else None


def _read_tar(source: Path, progress: bool) -> FerDataset:
    try:
        with tarfile.open(source, "r:gz") as archive:
            members = []
            for member in archive:
                members.append(member)
                if member.size > MOST_BYTES_IN_ALL or len(members) > MOST_FILES:
                    raise UserError(f"{source} holds far more than FER-2013 ({member.name}): {GET_AGAIN}")
                # Walking on means unpacking: stop as soon as the table is found.
                if PurePosixPath(member.name).name.lower() in ("fer2013.csv", "icml_face_data.csv"):
                    break
            table = _best_csv([member for member in members if member.isfile()], lambda member: member.name)
            if table is None:
                raise UserError(f"{source} has no fer2013.csv in it: {GET_AGAIN}")
            stream: IO[bytes] = archive.extractfile(table)
            return read_csv(stream, source, "tar.gz", table.size, progress)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise UserError(f"{source} is cut short or not a .tar.gz ({error}): {GET_AGAIN}") from error
