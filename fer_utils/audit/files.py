"""What is wrong with the files: a report on every one of them, before anything is decoded for training."""

import hashlib
from pathlib import PurePosixPath

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from fer_utils.common.labels import EMOTIONS, USAGES
from fer_utils.dataset import FerDataset
from fer_utils.dataset.files import iterate_files
from fer_utils.dataset.names import IMAGE_ENDINGS, classify, settle_parts
from fer_utils.dataset.pictures import is_whole, picture_size

# Grey levels of a face differ by some 50 or more; a picture of one flat tone says nothing.
BLANK_BELOW_SPREAD = 2.0

MOST_PIXELS = 2**22


def audit_files(dataset: FerDataset, progress: bool = True) -> pd.DataFrame:
    """Look at every file behind a dataset without dropping any.

    Args:
        dataset: from `load_dataset`; its source is read once more, file by file. The rows of a CSV are
            looked at in the same way, as far as a row can have the same faults.
        progress: whether to show a progress bar.

    Returns:
        One row a file, sorted by name: name, usage and emotion ("" where the path tells none), extension
        ("row" in a CSV), bytes, readable (it can be decoded), width and height in pixels (0 where
        unreadable), spread (standard deviation of the grey levels), fingerprint (of the decoded pixels; of
        the bytes where unreadable).

    Raises:
        UserError: if the source has gone or changed since it was opened.
    """
    if dataset.names[0].startswith("row "):
        return _audit_rows(dataset)
    n = len(dataset) + len(dataset.skipped)
    files = tqdm(iterate_files(dataset.source), "auditing", n, unit="file", disable=not progress, leave=False)
    # A tar gives its files in its own order.
    audited = sorted((_audit(name, content) for name, content in files), key=lambda row: row["name"])
    usages = settle_parts({row["usage"] for row in audited} - {""})
    return pd.DataFrame([row | {"usage": usages.get(row["usage"], "")} for row in audited])


def _audit_rows(dataset: FerDataset) -> pd.DataFrame:
    read = [
        _measured(name, usage, EMOTIONS[label], "row", image.size, image, b"")
        for name, usage, label, image in zip(dataset.names, dataset.usage, dataset.labels, dataset.images, strict=True)
    ]
    return pd.DataFrame(read + [_measured(name, "", "", "row", 0, None, b"") for name, _ in dataset.skipped])


def _audit(name: str, content: bytes) -> dict:
    path = PurePosixPath(name)
    # The extension is judged apart from the place, so that "notes.txt" still tells where it lay.
    meaning = classify(str(path.with_suffix(".jpg")))
    usage, label = ("", None) if isinstance(meaning, str) else meaning
    width, height = picture_size(content) or (0, 0)
    # The size is looked at first: a file of a hundred kB may unpack to gigabytes.
    sound = 0 < width * height <= MOST_PIXELS and is_whole(content)
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE) if sound else None
    emotion = "" if label is None else EMOTIONS[label]
    return _measured(name, usage, emotion, path.suffix.lower(), len(content), image, content)


def _measured(name, usage, emotion, extension, n_bytes, image, content) -> dict:
    return {
        "name": name,
        "usage": usage,
        "emotion": emotion,
        "extension": extension,
        "bytes": n_bytes,
        "readable": image is not None,
        "width": 0 if image is None else image.shape[1],
        "height": 0 if image is None else image.shape[0],
        "spread": np.nan if image is None else float(image.std()),
        "fingerprint": hashlib.sha256(content if image is None else image.tobytes()).hexdigest()[:16],
    }


def kept_by_extension(files: pd.DataFrame) -> pd.Series:
    """Return bool per file: the original project's rule, which keeps `jpeg`, `jpg` and `png` (and a CSV's rows)."""
    return files["extension"].isin((*IMAGE_ENDINGS, "row"))


def findings(files: pd.DataFrame) -> pd.DataFrame:
    """Mark what is wrong with each file.

    Args:
        files: from `audit_files`.

    Returns:
        bool columns, same rows: wrong_extension, unreadable, blank, duplicate (an earlier file has the same
        pixels), twin_across_splits (the same pixels in Training and in a test part), contradicting (the same
        pixels under two emotions). The last three look at readable pictures that are not blank.
    """
    readable, extension = files["readable"], kept_by_extension(files)
    blank = readable & (files["spread"] < BLANK_BELOW_SPREAD)
    pictures = files[readable & extension & ~blank]
    by_pixels = pictures.groupby("fingerprint")
    n_emotions = by_pixels["emotion"].transform("nunique")
    in_training = (pictures["usage"] == "Training").groupby(pictures["fingerprint"]).transform("mean")
    marks = pd.DataFrame(
        {
            "wrong_extension": ~extension,
            "unreadable": extension & ~readable,
            "blank": extension & blank,
            "duplicate": by_pixels.cumcount() > 0,
            "twin_across_splits": (in_training > 0) & (in_training < 1),
            "contradicting": n_emotions > 1,
        },
        index=files.index,
    )
    return marks.astype("boolean").fillna(False).astype(bool)


def report(files: pd.DataFrame) -> pd.DataFrame:
    """Count the findings: one row a problem, one column a usage, and the share of all files in percent."""
    marks = findings(files)
    usage = files["usage"].replace("", "unknown")
    table = marks.groupby(usage).sum().T
    table = table.reindex(columns=[name for name in (*USAGES, "unknown") if name in table])
    table["all"] = table.sum(axis=1)
    table["percent of files"] = (100 * table["all"] / len(files)).round(2)
    return table.rename_axis(index="problem", columns=None).rename(index=lambda name: name.replace("_", " "))
