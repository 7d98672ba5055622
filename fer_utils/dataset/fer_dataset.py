"""What reading FER-2013 gives back."""

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS, USAGES


class SkippedFile(NamedTuple):
    """A file or row that could not become a picture, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class FerDataset:
    """A decoded copy of FER-2013, or of other pictures in its form.

    Attributes:
        images: uint8 (n, 48, 48), grey levels 0 to 255; possibly a read-only memory map.
        labels: int64 (n,), positions in `EMOTIONS`.
        usage: str (n,), each one of `USAGES`.
        names: str (n,), the file's path inside the source, or `row 17` for the CSV.
        source: the file or folder that was read.
        form: "zip", "folder", "csv" or "tar.gz".
        fingerprint: 16 hexadecimal digits of the SHA-256 over images, labels and usage.
        skipped: files or rows that are not in the arrays, each with its reason.
        notes: what the reader had to assume, in sentences.
        problems: in what this reading is not whole, in sentences that nobody may miss.
        is_sample: whether this is the embedded sample, whose figures are not FER-2013 figures.
        is_fer2013: whether this was read from FER-2013 itself: its parts have the published counts.
    """

    images: np.ndarray
    labels: np.ndarray
    usage: np.ndarray
    names: np.ndarray
    source: str
    form: str
    fingerprint: str = ""
    skipped: list[SkippedFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_sample: bool = False
    is_fer2013: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def title(self) -> str:
        """What a figure made from it must be called: "embedded sample", "FER-2013" or "other pictures"."""
        return data_title(self.is_sample, self.is_fer2013)

    def counts(self) -> pd.DataFrame:
        """Return the number of images, one row a usage that occurs, one column an emotion."""
        table = pd.crosstab(self.usage, self.labels)
        table = table.reindex(index=USAGES, columns=range(len(EMOTIONS)), fill_value=0)
        table.index.name, table.columns = "usage", list(EMOTIONS)
        return table[table.sum(axis=1) > 0]

    def mask(self, usage: str) -> np.ndarray:
        """Return bool (n,), true where an image belongs to `usage`.

        Raises:
            UserError: if this copy of the data has no such part.
        """
        if usage not in USAGES:
            raise UserError(f"unknown usage '{usage}': choose one of {', '.join(USAGES)}")
        mask = self.usage == usage
        if not mask.any():
            present = ", ".join(self.counts().index)
            raise UserError(f"this copy of the data has no {usage} images (it has {present}): choose another part")
        return mask

    def subset(self, usage: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (images uint8 (m, 48, 48), labels int64 (m,)) of one official part, in memory.

        Raises:
            UserError: if this copy of the data has no such part.
        """
        mask = self.mask(usage)
        return np.asarray(self.images[mask]), np.asarray(self.labels[mask])

    def test_parts(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return (images, labels) of every part that is only for judging, by its name: PublicTest, and PrivateTest.

        Not every copy has PrivateTest; PublicTest has to be there.

        Raises:
            UserError: if this copy of the data has no PublicTest.
        """
        names = [usage for usage in USAGES[1:] if usage == "PublicTest" or (self.usage == usage).any()]
        return {name: self.subset(name) for name in names}


def data_title(is_sample: bool, is_fer2013: bool = True) -> str:
    """Return what figures made from the embedded sample, from FER-2013 or from anything else are called."""
    return "embedded sample" if is_sample else "FER-2013" if is_fer2013 else "other pictures"


def fingerprint_of(images: np.ndarray, labels: np.ndarray, usage: np.ndarray) -> str:
    """Return 16 hexadecimal digits that change when any pixel, label or usage does.

    Args:
        images: uint8 (n, 48, 48).
        labels: int64 (n,).
        usage: str (n,).
    """
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(labels, dtype="<i8").data)
    digest.update("\n".join(usage.tolist()).encode())
    return digest.hexdigest()[:16]
