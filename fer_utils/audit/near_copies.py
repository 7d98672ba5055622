"""The same photograph in other pixels: brightened, shifted, compressed once more, or cut out anew.

A search in two steps. A perceptual hash (the package `imagehash`, after Zauner 2010, "Implementation and benchmarking
of perceptual image hash functions") turns each picture into 144 bits that a small change hardly touches, so that all
pairs can be compared in seconds. Faces in the same pose have similar hashes too; so the pixels of each pair found are
compared in a second step, by normalised correlation, which brightness and contrast do not change.

Kind, size and limits were chosen by measuring. Of average, difference, wavelet and DCT hashes of 64 to 256 bits, the
DCT hash ("phash") of 12×12 was the smallest that told every copy planted in the embedded sample of that time from
every other pair. In today's sample the two kinds meet, copies at most 26 bits apart and other pairs at least 26, and
the second step parts them. FER-2013 holds harder copies (another crop, hard contrast), hence the wider limit. There
the two find 2,423 pairs. Of 140 drawn at random, all 140 showed the same photograph to the eye. Recall was measured
with changes made to 1,000 of its pictures: all are found after other brightness, contrast or compression, a shift of
one pixel, a turn of 2° or a zoom of 3 %; about half after a shift of two pixels or a zoom of 6 %; hardly any after a
turn of 10° or a shift of three. So a count of near duplicates is a lower bound, and strong augmentation is not found
here: whoever augments must keep track of the sources (`split_validation(groups=…)`).
"""

from collections.abc import Iterator

import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from fer_utils.audit.files import BLANK_BELOW_SPREAD
from fer_utils.dataset import duplicate_groups
from fer_utils.dataset.split import linked_groups

HASH_SIZE = 12

BITS = HASH_SIZE**2

MOST_BITS_APART = 32

LEAST_CORRELATION = 0.9

# A copy may be shifted by up to so many pixels before its correlation is taken.
SHIFT = 2

# 256 rows against 32,298 are 33 MB of distances; the whole table would be 4 GB.
ROWS_AT_ONCE = 256


def perceptual_hashes(images: np.ndarray, progress: bool = True) -> np.ndarray:
    """Return bool (n, 144): the DCT hash of each image, for images uint8 (n, height, width)."""
    hashes = np.empty((len(images), BITS), bool)
    for i, image in enumerate(tqdm(images, "hashing", unit="image", disable=not progress, leave=False, delay=2)):
        hashes[i] = imagehash.phash(Image.fromarray(np.asarray(image)), HASH_SIZE).hash.ravel()
    return hashes


def correlation(image: np.ndarray, other: np.ndarray) -> float:
    """Return how alike the pixels of two uint8 (height, width) images are, -1 to 1, brightness and contrast aside.

    It is the best normalised correlation of the inside of `other` with `image` over shifts of up to two pixels
    each way; 0 if that inside is of one flat tone.
    """
    inside = np.ascontiguousarray(other[SHIFT:-SHIFT, SHIFT:-SHIFT])
    if inside.std() < BLANK_BELOW_SPREAD:
        return 0.0
    return float(cv2.matchTemplate(np.ascontiguousarray(image), inside, cv2.TM_CCOEFF_NORMED).max())


def near_pairs(
    images: np.ndarray,
    most_bits_apart: int = MOST_BITS_APART,
    least_correlation: float = LEAST_CORRELATION,
    mirrored: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Find the pairs of different images that show the same photograph.

    Identical images count as one, and blank ones are left out. All of FER-2013 takes some ten seconds of computing.

    Args:
        images: uint8 (n, height, width).
        most_bits_apart: the first step keeps pairs whose hashes differ in at most so many of 144 bits.
        least_correlation: the second step keeps pairs with at least this `correlation`; -1 leaves it out.
        mirrored: compare each image with the mirror images of the others instead.
        progress: whether to show progress bars.

    Returns:
        One row a pair: first and second (positions, int64, first < second, of the first image of each identical set),
        bits_apart (int64), correlation (float64). Sorted by the positions.
    """
    images = np.asarray(images)
    rows = _distinct(images)
    straight = perceptual_hashes(images[rows], progress)
    turned = perceptual_hashes(images[rows][:, :, ::-1], progress) if mirrored else straight
    found = list(_similar_hashes(straight, turned, most_bits_apart, progress))
    first, second, bits_apart = np.concatenate(found, axis=1) if found else np.empty((3, 0), np.int64)
    first, second = rows[first], rows[second]
    likeness = np.array(
        [
            correlation(images[i], images[j, :, ::-1] if mirrored else images[j])
            for i, j in zip(first, second, strict=True)
        ],
        np.float64,
    )
    table = pd.DataFrame({"first": first, "second": second, "bits_apart": bits_apart, "correlation": likeness})
    return table[table["correlation"] >= least_correlation].sort_values(["first", "second"], ignore_index=True)


def near_groups(images: np.ndarray, pairs: pd.DataFrame | None = None, progress: bool = True) -> np.ndarray:
    """Return int64 (n,): images with the same number are identical or near copies, directly or through others.

    Numbers count up from 0 in order of first appearance.

    Args:
        images: uint8 (n, height, width).
        pairs: from `near_pairs` of the same images, where they have been found already.
        progress: whether to show progress bars.
    """
    if pairs is None:
        pairs = near_pairs(images, progress=progress)
    exact = duplicate_groups(images)
    _, leaders = np.unique(exact, return_index=True)
    return linked_groups(
        len(exact),
        np.concatenate([np.arange(len(exact)), pairs["first"].to_numpy(np.int64)]),
        np.concatenate([leaders[exact], pairs["second"].to_numpy(np.int64)]),
    )


def _distinct(images: np.ndarray) -> np.ndarray:
    """Return the positions of the first image of each identical set, blank ones left out."""
    _, first = np.unique(duplicate_groups(images), return_index=True)
    return np.array([i for i in first if images[i].std() >= BLANK_BELOW_SPREAD], np.int64)


def _similar_hashes(
    hashes: np.ndarray, others: np.ndarray, most_bits_apart: int, progress: bool
) -> Iterator[np.ndarray]:
    """Yield int64 (3, m) of first row, second row (first < second) and bits apart, for a few rows at a time."""
    # With bits as -1 and +1 a product of matrices counts agreements minus disagreements, and nothing is faster.
    signs, other_signs = (np.where(bits, np.float32(1), np.float32(-1)) for bits in (hashes, others))
    with tqdm(total=len(signs), desc="comparing", unit="image", disable=not progress, leave=False, delay=2) as bar:
        for start in range(0, len(signs), ROWS_AT_ONCE):
            # Reading the result takes longer than the product, whose threads only get into each other's way.
            with threadpool_limits(1, user_api="blas"):
                agreement = signs[start : start + ROWS_AT_ONCE] @ other_signs[start:].T
            i, j = np.nonzero(agreement >= BITS - 2 * most_bits_apart)
            i, j = i[i < j], j[i < j]
            yield np.stack([i + start, j + start, (BITS - agreement[i, j].astype(np.int64)) // 2])
            bar.update(len(agreement))
