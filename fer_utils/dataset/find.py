"""Where the data is: an explicit path, `$FER_DATA`, `data/`, or the embedded sample."""

import os
from pathlib import Path

from fer_utils.common.errors import UserError
from fer_utils.common.paths import data_folders, sample_archive

# In this order, so that the original download wins over what somebody unpacked from it.
USUAL_NAMES = (
    "archive.zip",
    "fer2013.zip",
    "fer2013",
    "archive",
    "fer2013.csv",
    "icml_face_data.csv",
    "fer2013.tar.gz",
    ".",
)

HOW_TO_GET_IT = (
    "run 'fer data get', or download archive.zip by hand from kaggle.com/datasets/msambare/fer2013 into data/"
)


def form_of(path: Path) -> str:
    """Return which of the forms a path has, by its name: "folder", "zip", "csv" or "tar.gz".

    Raises:
        UserError: if it is none of them.
    """
    if path.is_dir():
        return "folder"
    for form, endings in {"zip": (".zip",), "csv": (".csv",), "tar.gz": (".tar.gz", ".tgz")}.items():
        if path.name.lower().endswith(endings):
            return form
    raise UserError(f"{path} is not a folder, .zip, .csv or .tar.gz: {HOW_TO_GET_IT}")


def find_source(data: str | Path | None = None) -> tuple[Path, bool]:
    """Return (the file or folder to read, whether it is the embedded sample).

    Args:
        data: an explicit path, "sample" for the embedded sample, or None or "" to search
            `$FER_DATA`, then `data/`, then fall back on the embedded sample.

    Raises:
        UserError: if the path given, or the one in `$FER_DATA`, does not exist or has no known form.
    """
    if str(data or "") == "sample":
        return _sample(), True
    for wanted, said_by in ((data, "the path given"), (os.environ.get("FER_DATA"), "$FER_DATA")):
        if wanted:
            path = Path(wanted).expanduser()
            if not path.exists():
                raise UserError(f"{said_by} does not exist: {path}; correct it, or {HOW_TO_GET_IT}")
            form_of(path)
            return path, _is_sample(path)
    for folder in data_folders():
        for name in USUAL_NAMES:
            path = folder / name
            if path.is_file() or any((path / part).is_dir() for part in ("train", "test")):
                return path, False
    return _sample(), True


def _is_sample(path: Path) -> bool:
    sample = sample_archive()
    return sample.is_file() and path.is_file() and path.samefile(sample)


def _sample() -> Path:
    path = sample_archive()
    if not path.is_file():
        raise UserError(f"no data found, and the embedded sample is missing ({path}): {HOW_TO_GET_IT}")
    return path
