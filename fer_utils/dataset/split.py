"""Dividing the training part: stratified, seeded, and with the copies of an image on one side."""

import hashlib

import numpy as np
from sklearn.model_selection import train_test_split

from fer_utils.errors import UserError


def duplicate_groups(images: np.ndarray) -> np.ndarray:
    """Return int64 (n,): images with the same number are the same, pixel for pixel.

    Numbers count up from 0 in order of first appearance.

    Args:
        images: uint8 (n, height, width).
    """
    seen: dict[bytes, int] = {}
    digests = (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images)
    return np.fromiter((seen.setdefault(digest, len(seen)) for digest in digests), np.int64, len(images))


def split_validation(
    images: np.ndarray, labels: np.ndarray, validation_split: float = 0.2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Split a training part into what is fitted and what every choice is made on.

    Each group of identical images goes to one side as a whole: a network must not be
    validated on a picture that it was shown. A group is stratified by its first label.

    Args:
        images: uint8 (n, height, width).
        labels: int64 (n,).
        validation_split: share of the groups that is held out, between 0 and 1.
        seed: the same seed gives the same split.

    Returns:
        (training indices, validation indices), int64, each sorted, together every index once.

    Raises:
        UserError: if the share is out of range or a class has too few different images.
    """
    if not 0 < validation_split < 1:
        raise UserError(f"validation_split must lie between 0 and 1, not {validation_split}")
    groups = duplicate_groups(images)
    _, first = np.unique(groups, return_index=True)
    try:
        _, held_out = train_test_split(
            np.arange(len(first)), test_size=validation_split, stratify=labels[first], random_state=seed
        )
    except ValueError as error:
        raise UserError(f"too few different images to split by class ({error}): use more data") from error
    in_validation = np.isin(groups, held_out)
    return np.flatnonzero(~in_validation), np.flatnonzero(in_validation)


def subsample(labels: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Return the sorted indices of a stratified subset of about `n` items; all of them if `n` is 0.

    Args:
        labels: int64 (m,).
        n: how many to keep; 0, or m and above, keeps everything.
        seed: the same seed keeps the same items.
    """
    if not 0 < n < len(labels):
        return np.arange(len(labels))
    kept, _ = train_test_split(np.arange(len(labels)), train_size=n, stratify=labels, random_state=seed)
    return np.sort(kept)
