"""Opening FER-2013: our reader against a loop over cv2, and against pandas for the CSV."""

import shutil
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from benchmarks.side_by_side import Comparison, compare
from fer_utils.common.paths import cache_folder
from fer_utils.dataset import find_source, load_dataset
from fer_utils.dataset.names import IMAGE_ENDINGS


def measure() -> list[Comparison]:
    """Measure zip, folder and CSV, the first time and later, on $FER_DATA or the embedded sample."""
    source = find_source().path
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "fer2013"
        with zipfile.ZipFile(source) as archive:
            archive.extractall(folder)
        table = _write_csv(load_dataset(source, cache=False, progress=False), Path(temporary) / "fer2013.csv")
        rows = []
        for form, path, plain, plain_way in (
            ("zip", source, lambda: _loop(folder), "cv2.imread in a loop over the unpacked files"),
            ("folder", folder, lambda: _loop(folder), "cv2.imread in a loop"),
            ("CSV", table, lambda: _pandas(table), "pandas, then np.fromstring row by row"),
        ):
            load = _opener(path)
            rows.append(compare(f"open the {form}, first time", plain_way, load, plain, 3, before=_empty_cache))
            rows.append(compare(f"open the {form}, later", plain_way, load, plain, 3))
        return rows


def _opener(path: Path):
    return lambda: load_dataset(path, progress=False)


def _empty_cache() -> None:
    shutil.rmtree(cache_folder(), ignore_errors=True)


def _loop(folder: Path) -> np.ndarray:
    images = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in folder.rglob("*") if path.suffix in IMAGE_ENDINGS]
    return np.stack([image for image in images if image is not None])


def _pandas(path: Path) -> np.ndarray:
    table = pd.read_csv(path)
    return np.stack([np.fromstring(row, np.uint8, sep=" ").reshape(48, 48) for row in table["pixels"]])


def _write_csv(dataset, path: Path) -> Path:
    pixels = [" ".join(map(str, image.ravel())) for image in dataset.images]
    pd.DataFrame({"emotion": dataset.labels, "pixels": pixels, "Usage": dataset.usage}).to_csv(path, index=False)
    return path
