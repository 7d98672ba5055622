"""Dividing the training part: stratified, seeded, and with the copies of an image on one side."""

import hashlib

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import train_test_split

from fer_utils.common.errors import UserError
from fer_utils.dataset.fer_dataset import FerDataset


def duplicate_groups(images: np.ndarray) -> np.ndarray:
    """Return int64 (n,): images with the same number are the same, pixel for pixel.

    Numbers count up from 0 in order of first appearance.

    Args:
        images: uint8 (n, height, width).
    """
    seen: dict[bytes, int] = {}
    digests = (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images)
    return np.fromiter((seen.setdefault(digest, len(seen)) for digest in digests), np.int64, len(images))


def linked_groups(n: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return int64 (n,): items that a chain of links joins have the same number.

    Numbers count up from 0 in order of first appearance.

    Args:
        n: how many items there are.
        first: int64 (m,), positions of one end of each link.
        second: int64 (m,), positions of the other end.
    """
    links = coo_array((np.ones(len(first), bool), (first, second)), shape=(n, n))
    _, groups = connected_components(links, directed=False)
    return pd.factorize(groups)[0].astype(np.int64)


def split_validation(
    images: np.ndarray,
    labels: np.ndarray,
    validation_split: float = 0.2,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Split a training part into what is fitted and what every choice is made on.

    Each group of identical images goes to one side as a whole: a network must not be
    validated on a picture that it was shown. A group is stratified by its first label.

    Args:
        images: uint8 (n, height, width).
        labels: int64 (n,).
        validation_split: share of the groups that is held out, between 0 and 1.
        seed: the same seed gives the same split.
        groups: (n,), more that must stay together: images with the same number go to one side. For instance
            `near_duplicates.near_groups(images)`, or the number of the picture that each augmented copy was made
            from. None for identical images alone.

    Returns:
        (training indices, validation indices), int64, each sorted, together every index once.

    Raises:
        UserError: if the share is out of range, a class has too few different images, or there is not one group
            number an image.
    """
    if not 0 < validation_split < 1:
        raise UserError(f"validation_split must lie between 0 and 1, not {validation_split}")
    groups = _with_identical(groups, images)
    _, first = np.unique(groups, return_index=True)
    try:
        _, held_out = train_test_split(
            np.arange(len(first)), test_size=validation_split, stratify=labels[first], random_state=seed
        )
    except ValueError as error:
        raise UserError(f"too few different images to split by class ({error}): use more data") from error
    in_validation = np.isin(groups, held_out)
    return np.flatnonzero(~in_validation), np.flatnonzero(in_validation)


def divide(
    dataset: FerDataset, seed: int = 0, training_images: int = 0, validation_split: float = 0.2
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Divide a dataset into all that a lesson needs: a part to learn from, one to choose by, and those to judge with.

    Args:
        dataset: from `load_dataset`.
        seed: of the split and of the choice of pictures.
        training_images: learn from so many pictures only, the classes in proportion; 0 for all.
        validation_split: share of `Training` that is held out, between 0 and 1.

    Returns:
        (images uint8 (n, 48, 48), labels int64 (n,)) by the part's name: "training", "validation", and the official
        test parts that this copy of the data has.

    Raises:
        UserError: as from `split_validation`, `subsample` and `FerDataset.test_parts`.
    """
    images, labels = dataset.subset("Training")
    fit, held_out = split_validation(images, labels, validation_split, seed)
    fit = fit[subsample(labels[fit], training_images, seed)]
    parts = {"training": (images[fit], labels[fit]), "validation": (images[held_out], labels[held_out])}
    return parts | dataset.test_parts()


def _with_identical(groups: np.ndarray | None, images: np.ndarray) -> np.ndarray:
    identical = duplicate_groups(images)
    if groups is None:
        return identical
    if np.shape(groups) != (len(images),):
        raise UserError(f"groups has shape {np.shape(groups)} for {len(images)} images: give one number an image")
    # Whoever is linked to the first of each of its two groups is linked to all of both.
    leaders = np.concatenate([_leaders(identical), _leaders(groups)])
    return linked_groups(len(images), np.tile(np.arange(len(images)), 2), leaders)


def _leaders(groups: np.ndarray) -> np.ndarray:
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    return first[number]


def subsample(labels: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Return the sorted indices of a stratified subset of about `n` items; all of them if `n` is 0.

    Args:
        labels: int64 (m,).
        n: how many to keep; 0, or m and above, keeps everything.
        seed: the same seed keeps the same items.

    Raises:
        UserError: if so few, or all but so few, cannot hold every class.
    """
    if not 0 < n < len(labels):
        return np.arange(len(labels))
    try:
        kept, _ = train_test_split(np.arange(len(labels)), train_size=n, stratify=labels, random_state=seed)
    except ValueError as error:
        raise UserError(f"{n} of {len(labels)} images cannot be chosen class by class ({error}): take more") from error
    return np.sort(kept)
