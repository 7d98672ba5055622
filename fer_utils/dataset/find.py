"""Where the data is, and in which form: an explicit path, `$FER_DATA`, `data/`, or the embedded sample."""

import itertools
import os
from pathlib import Path
from typing import IO, NamedTuple

from fer_utils.common.errors import UserError
from fer_utils.common.paths import data_folders, sample_archive
from fer_utils.dataset.archives import DAMAGED, GZIP, walk
from fer_utils.dataset.files import form_of, open_files
from fer_utils.dataset.names import classify, is_file, quoted
from fer_utils.dataset.read import best_table

# In this order, so that the original download wins over what somebody unpacked from it.
USUAL_NAMES = (
    "archive.zip",
    "fer2013.zip",
    "fer2013",
    "archive",
    "fer2013.csv",
    "icml_face_data.csv",
    "fer2013.tar.gz",
)

HOW_TO_GET_IT = (
    "run 'fer data get', or download archive.zip by hand from kaggle.com/datasets/msambare/fer2013 into data/"
)

# Looked at before a folder is given up: it is no copy of FER-2013 whose pictures come after so many other files.
FILES_LOOKED_AT = 50_000
DEEPEST = 2


class Source(NamedTuple):
    """What to read: a file or folder, its form, whether it is the embedded sample, and what was not understood."""

    path: Path
    form: str
    is_sample: bool
    problems: tuple[str, ...] = ()


def find_source(data: str | Path | None = None) -> Source:
    """Return what is to be read.

    Args:
        data: an explicit path, "sample" for the embedded sample, or None or "" to search
            `$FER_DATA`, then `data/`, then fall back on the embedded sample.

    Raises:
        UserError: if the path given, or the one in `$FER_DATA`, does not exist or has no known form.
    """
    if str(data or "") == "sample":
        return Source(_sample(), "zip", True)
    for wanted, said_by in ((data, "the path given"), (os.environ.get("FER_DATA"), "$FER_DATA")):
        if wanted:
            try:
                path = Path(wanted).expanduser()
                exists = path.exists()
            # No such user, a name that no file can have, a folder that may not be looked into.
            except (RuntimeError, ValueError, OSError) as error:
                raise UserError(f"{said_by} cannot be opened ({quoted(str(error))}): correct it") from error
            if not exists:
                raise UserError(f"{said_by} does not exist: {path}; correct it, or {HOW_TO_GET_IT}")
            found = _search(path)[0] if path.is_dir() and why_not(path) else None
            return found or Source(path, form_of(path), _is_sample(path))
    not_understood = []
    for folder in data_folders():
        found, others = _search(folder)
        if found:
            return found
        not_understood += [f"{folder.name}/ holds {other}" for other in others]
    return Source(_sample(), "zip", True, tuple(not_understood[:3]))


def _search(folder: Path, depth: int = 0) -> tuple[Source | None, list[str]]:
    """Look for FER-2013 in a folder, by content.

    Returns:
        (what was found, or None; for each file or folder that may be meant as data, why it is none).
    """
    if depth and why_not(folder) == "":
        return Source(folder, "folder", False), []
    others = []
    try:
        inside = sorted(folder.iterdir(), key=_rank)
    except OSError as error:
        return None, [f"a folder that cannot be read ({error.strerror})"]
    for path in inside:
        name = path.name.lower()
        if name.startswith((".", "fer_sample")) or name.endswith((".md", ".txt")) or not is_file(path.name):
            continue
        if path.is_dir() and depth < DEEPEST:
            found, deeper = _search(path, depth + 1)
            if found:
                return found, []
            reason = f" ({deeper[0]})" if deeper else ""
            others.append(f"the folder {quoted(path.name)}, which is not recognised{reason}: {NO_PICTURES}")
            continue
        # A copy under its usual name is meant, also where it is damaged: reading it says what is wrong.
        reason = "" if name in USUAL_NAMES and path.is_file() else why_not(path)
        if not reason:
            return Source(path, form_of(path), False), []
        others.append(f"{quoted(path.name)}, which is not recognised: {reason}")
    # Last, what lies open in the folder itself.
    if not depth and why_not(folder, tables=False) == "":
        return Source(folder, "folder", False), []
    return None, others


NO_PICTURES = "no train/<emotion>/ and test/<emotion>/ with pictures, and no table"


def _rank(path: Path) -> tuple[int, str]:
    name = path.name.lower()
    return USUAL_NAMES.index(name) if name in USUAL_NAMES else len(USUAL_NAMES), name


def why_not(path: Path, tables: bool = True) -> str:
    """Return why a file or folder holds no FER-2013 in any form; "" if it does, as far as names and columns tell.

    Args:
        path: the file or folder.
        tables: whether a table counts.
    """
    try:
        form = form_of(path)
        if form == "csv":
            with path.open("rb") as stream:
                return "" if _is_table(stream) else "it has no columns emotion and pixels"
        # The first picture is enough: a folder need not be walked through.
        if form == "folder" and any(_is_picture(name) for name, *_ in itertools.islice(walk(path), FILES_LOOKED_AT)):
            return ""
        with open_files(path, form) as files:
            if any(map(_is_picture, files.names)):
                return ""
            table = best_table(files.names) if tables else None
            if table is not None:
                with files.open(table) as stream:
                    return (
                        "" if _is_table(stream) else f"{quoted(files.names[table])} has no columns emotion and pixels"
                    )
    except UserError as error:
        return str(error).partition(str(path))[2].partition(":")[0].strip() or str(error)
    except DAMAGED as error:
        return quoted(str(error))
    return NO_PICTURES


def _is_picture(name: str) -> bool:
    return not isinstance(classify(name), str)


def _is_table(stream: IO[bytes]) -> bool:
    head = stream.read(512)
    if head.startswith(GZIP):
        # Packed, and by its name what is meant; unpacking a whole archive for its list takes too long here.
        return True
    return b"emotion" in head.lower() and b"pixels" in head.lower()


def _is_sample(path: Path) -> bool:
    sample = sample_archive()
    return sample.is_file() and path.is_file() and path.samefile(sample)


def _sample() -> Path:
    path = sample_archive()
    if not path.is_file():
        raise UserError(f"no data found, and the embedded sample is missing ({path}): {HOW_TO_GET_IT}")
    return path
