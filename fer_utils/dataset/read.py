"""The three forms of FER-2013: a zip, a folder, and the competition's CSV.

Nothing is ever unpacked to disk; every file is read in memory, within limits, so that a
damaged or hostile archive costs an error message and nothing else.
"""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from os import cpu_count
from pathlib import Path, PurePosixPath
from typing import IO

import cv2
import numpy as np
from tqdm.auto import tqdm

from fer_utils.dataset.csv_form import read_csv
from fer_utils.dataset.find import form_of
from fer_utils.dataset.records import FerDataset, SkippedFile, fingerprint_of
from fer_utils.errors import UserError
from fer_utils.labels import EMOTIONS, IMAGE_SIZE, USAGES

IMAGE_ENDINGS = (".jpeg", ".jpg", ".png")
SPLIT_FOLDERS = {"train": "Training", "test": "PublicTest"}

# A 48×48 JPEG has about 2 kB and the CSV about 300 MB: these are far above any honest copy.
MOST_BYTES_PER_FILE = 4 * 2**20
MOST_BYTES_IN_ALL = 2 * 2**30
MOST_FILES = 500_000

GET_AGAIN = "download it again, or point to another copy"
BATCH = 512


def iterate_files(source: str | Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path inside the source, raw bytes) of every file of a zip or folder, sorted by path.

    A file that cannot be read at all yields no bytes.

    Raises:
        UserError: if the source is no zip or folder, is damaged, or is unsafe to read.
    """
    source = Path(source)
    form = form_of(source)
    if form == "folder":
        yield from _folder_files(source)
    elif form == "zip":
        with _open_zip(source) as archive:
            yield from _zip_files(archive)
    else:
        raise UserError(f"{source} has rows, not files: this needs the zip or the folder form")


def count_files(source: str | Path) -> int:
    """Return how many files `iterate_files` will yield.

    Raises:
        UserError: as `iterate_files`.
    """
    source = Path(source)
    if form_of(source) == "folder":
        return sum(1 for _ in _folder_paths(source))
    with _open_zip(source) as archive:
        return len(_zip_members(archive))


def read_source(source: str | Path, progress: bool = True) -> FerDataset:
    """Decode a zip, folder, CSV, or a CSV inside a zip or `.tar.gz`.

    Args:
        source: the file or folder.
        progress: whether to show a progress bar.

    Raises:
        UserError: if nothing usable is in it; the message names the next step.
    """
    source = Path(source)
    form = form_of(source)
    if form == "csv":
        with open(source, "rb") as stream:
            return read_csv(stream, source, form, source.stat().st_size, progress)
    if form == "tar.gz":
        return _read_tar(source, progress)
    if form == "zip":
        inner = _csv_inside(source)
        if inner:
            with _open_zip(source) as archive, archive.open(inner) as stream:
                return read_csv(stream, source, form, inner.file_size, progress)
    return _read_images(source, form, progress)


def classify(name: str) -> tuple[str, int] | str:
    """Return (usage, label) that a file's path stands for, or the reason why it stands for none.

    The last two folders are the split and the emotion; the official usage is in the file's
    own name (`Training_…`, `PublicTest_…`, `PrivateTest_…`) where the copy kept it.
    """
    path = PurePosixPath(name)
    if path.suffix.lower() not in IMAGE_ENDINGS:
        return f"extension '{path.suffix}' is not one of {', '.join(IMAGE_ENDINGS)}"
    if len(path.parts) < 3 or path.parts[-3].lower() not in SPLIT_FOLDERS:
        return "not in train/<emotion>/ or test/<emotion>/"
    emotion = path.parts[-2].lower()
    if emotion not in EMOTIONS:
        return f"unknown emotion folder '{path.parts[-2]}'"
    return official_usage(path.name) or SPLIT_FOLDERS[path.parts[-3].lower()], EMOTIONS.index(emotion)


def official_usage(file_name: str) -> str | None:
    """Return the competition's usage that a file name begins with, or None."""
    return next((usage for usage in USAGES if file_name.startswith(usage + "_")), None)


def decode(content: bytes) -> tuple[np.ndarray | None, str]:
    """Decode one picture.

    Returns:
        (uint8 (48, 48), "") for a grey picture, (…, "colour") for one that was turned to grey, or
        (None, the reason) for a file that is no 48×48 picture.
    """
    if not content:
        return None, "empty file"
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        return None, "not a readable image"
    if image.shape[:2] != (IMAGE_SIZE, IMAGE_SIZE):
        return None, f"{image.shape[1]}×{image.shape[0]} pixels instead of {IMAGE_SIZE}×{IMAGE_SIZE}"
    if image.dtype != np.uint8:
        image = (image / 257).round().astype(np.uint8)
    if image.ndim == 3 and image.shape[2] >= 3:
        return cv2.cvtColor(image[:, :, :3], cv2.COLOR_BGR2GRAY), "colour"
    return image.reshape(IMAGE_SIZE, IMAGE_SIZE, -1)[:, :, 0], ""


def _read_images(source: Path, form: str, progress: bool) -> FerDataset:
    names, images, labels, usage = [], [], [], []
    skipped: list[SkippedFile] = []
    colour = unofficial = 0
    files = tqdm(
        iterate_files(source), "reading images", count_files(source), unit="file", disable=not progress, leave=False
    )
    for name, meaning, image, remark in _decode_all(iter(files)):
        if image is None:
            skipped.append(SkippedFile(name, remark))
            continue
        names.append(name)
        images.append(image)
        usage.append(meaning[0])
        labels.append(meaning[1])
        colour += remark == "colour"
        unofficial += official_usage(PurePosixPath(name).name) is None
    if not images:
        reasons = f" (first: {skipped[0].name}: {skipped[0].reason})" if skipped else ""
        raise UserError(
            f"{source} has no FER-2013 image among its {len(skipped)} files{reasons}: "
            "expected train/<emotion>/*.jpg and test/<emotion>/*.jpg"
        )
    notes = []
    if unofficial:
        notes.append(
            f"{unofficial} file names do not tell the official usage; by folder, train counts as Training "
            "and test as PublicTest"
        )
    if colour:
        notes.append(f"{colour} colour images were converted to grey")
    return _dataset(names, np.stack(images), labels, usage, source, form, skipped, notes)


def _decode_all(files: Iterator[tuple[str, bytes]]) -> Iterator[tuple]:
    """Yield (name, meaning, image or None, remark), decoding in threads (OpenCV lets go of Python's lock)."""

    def work(batch):
        rows = []
        for name, content in batch:
            meaning = classify(name)
            rows.append((name, meaning, *((None, meaning) if isinstance(meaning, str) else decode(content))))
        return rows

    with ThreadPoolExecutor(cpu_count()) as pool:
        # One wave of batches at a time keeps memory bounded; `map` alone would read the whole archive first.
        while wave := list(islice(_batched(files), 2 * (cpu_count() or 1))):
            yield from chain.from_iterable(pool.map(work, wave))


def _batched(files: Iterator) -> Iterator[list]:
    """Yield lists of up to `BATCH` items (itertools.batched came with Python 3.12)."""
    while batch := list(islice(files, BATCH)):
        yield batch


def _dataset(names, images, labels, usage, source, form, skipped, notes) -> FerDataset:
    labels, usage = np.asarray(labels, np.int64), np.asarray(usage, dtype=np.str_)
    return FerDataset(
        images, labels, usage, np.asarray(names, dtype=np.str_), str(source), form,
        fingerprint_of(images, labels, usage), skipped, notes,
    )  # fmt: skip


def _folder_paths(source: Path) -> Iterator[Path]:
    return (path for path in source.rglob("*") if path.is_file() and not path.is_symlink())


def _folder_files(source: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(_folder_paths(source)):
        name = path.relative_to(source).as_posix()
        try:
            with open(path, "rb") as stream:
                content = stream.read(MOST_BYTES_PER_FILE + 1)
        except OSError:
            content = b""
        yield name, content if len(content) <= MOST_BYTES_PER_FILE else b""


def _open_zip(source: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(f"{source} is cut short or not a zip ({error}): {GET_AGAIN}") from error


def _zip_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.filename)
    for info in members:
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise UserError(f"{archive.filename} has an entry that points outside it ({info.filename}): {GET_AGAIN}")
    declared = sum(info.file_size for info in members)
    if declared > MOST_BYTES_IN_ALL or len(members) > MOST_FILES:
        raise UserError(
            f"{archive.filename} would unpack to {declared / 2**30:.1f} GiB in {len(members)} files, "
            f"far more than FER-2013: {GET_AGAIN}"
        )
    return members


def _zip_files(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    for info in _zip_members(archive):
        try:
            # The size in the directory may lie: the stream itself is cut at the limit.
            with archive.open(info) as stream:
                content = stream.read(MOST_BYTES_PER_FILE + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError):
            content = b""
        yield info.filename, content if len(content) <= MOST_BYTES_PER_FILE else b""


def _csv_inside(source: Path) -> zipfile.ZipInfo | None:
    """Return the competition's CSV if a zip has one and no train/ or test/ folder of images."""
    with _open_zip(source) as archive:
        members = _zip_members(archive)
    if any(not isinstance(classify(info.filename), str) for info in members):
        return None
    return _best_csv(members, lambda info: info.filename)


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
