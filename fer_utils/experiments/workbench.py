"""What every protocol has in common: the pictures, a small head on fixed features, and its examination."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from fer_utils.audit.near_copies import near_groups
from fer_utils.common.labels import EMOTIONS
from fer_utils.dataset import FerDataset, split_validation
from fer_utils.dataset.edges import edge_features

VALIDATION_SPLIT = 0.2

COMPONENTS = 128

# Mild enough that a version still looks like its picture, as augmentation for training is meant to be.
AUGMENTED_VERSIONS = 3

ROTATION_DEGREES = 8

SHIFT_PIXELS = 2

ZOOM = 0.05


@dataclass(frozen=True)
class Pictures:
    """Pictures with what a head learns from, and what tells copies apart.

    Attributes:
        images: uint8 (n, 48, 48).
        labels: int64 (n,).
        features: float32 (n, 900), from `edge_features`.
        sources: int64 (n,), the number of the photograph that each shows; equal for identical pictures and near copies
            (`near_duplicates.near_groups`), and handed on to repeated and augmented ones.
    """

    images: np.ndarray
    labels: np.ndarray
    features: np.ndarray
    sources: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> "Pictures":
        """Return the pictures at positions int64 (m,) or where bool (n,) is true."""
        return Pictures(self.images[rows], self.labels[rows], self.features[rows], self.sources[rows])


@dataclass(frozen=True)
class Examination:
    """What one protocol did.

    Attributes:
        protocol: its name.
        head: the fitted scikit-learn classifier.
        fit: what the head learned from.
        examined: what the reported number was measured on.
        scores: float64 (n,), what each examined picture added to the reported number, 0 to 1.
        line: the line of code that was wrong; "" for the honest protocol.
    """

    protocol: str
    head: object
    fit: Pictures
    examined: Pictures
    scores: np.ndarray
    line: str = ""

    @property
    def known(self) -> np.ndarray:
        """bool (n,): whether the photograph that an examined picture shows was among those learned from."""
        return np.isin(self.examined.sources, self.fit.sources)


class Workbench:
    """What all protocols share: the data with its features, the head, and the seed.

    Args:
        dataset: with the parts Training and PublicTest.
        seed: for splits, draws and the head.
        head: a function from a seed to an unfitted scikit-learn classifier with `predict_proba`.
        progress: whether to show progress bars.
    """

    def __init__(self, dataset: FerDataset, seed: int = 0, head: Callable | None = None, progress: bool = True):
        (images, labels), (test_images, test_labels) = dataset.subset("Training"), dataset.subset("PublicTest")
        every = np.concatenate([images, test_images])
        both = Pictures(
            every, np.concatenate([labels, test_labels]), edge_features(every), near_groups(every, progress=progress)
        )
        self.seed, self._head, self.done = seed, head or small_head, {}
        self.training = both.take(np.arange(len(images)))
        self.test = both.take(np.arange(len(images), len(every)))
        self.unseen_test = self.test.take(~np.isin(self.test.sources, self.training.sources))

    def learn(self, pictures: Pictures):
        """Return the head, fitted to the pictures."""
        return fitted(pictures.features, pictures.labels, self.seed, self._head)

    @cached_property
    def honest_split(self) -> tuple[Pictures, Pictures]:
        """(to learn from, to choose by): pictures of one photograph on one side."""
        parts = split_validation(
            self.training.images, self.training.labels, VALIDATION_SPLIT, self.seed, groups=self.training.sources
        )
        return tuple(self.training.take(rows) for rows in parts)

    @cached_property
    def honest_head(self):
        """The head that learned from the honest split, shared by the protocols that go wrong only afterwards."""
        return self.learn(self.honest_split[0])


def fitted(features: np.ndarray, labels: np.ndarray, seed: int, head: Callable | None = None):
    """Return a head that has learned.

    Args:
        features: float (n, m), from `label_noise.edge_features`.
        labels: int64 (n,).
        seed: for the head.
        head: a function from a seed to an unfitted classifier; `small_head` by default.
    """
    # Matrices this small are multiplied faster by one thread than by several that wait for each other.
    with warnings.catch_warnings(), threadpool_limits(1):
        # It is stopped after a fixed number of epochs on purpose.
        warnings.simplefilter("ignore")
        return (head or small_head)(seed).fit(features, labels)


def small_head(seed: int):
    """Return the head: principal components, then two dense layers of 256, which can learn its pictures by heart.

    Args:
        seed: for the initial weights and the order of the pictures.
    """
    from sklearn.decomposition import PCA
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        PCA(COMPONENTS, whiten=True, svd_solver="covariance_eigh"),
        MLPClassifier((256, 256), batch_size=128, max_iter=20, n_iter_no_change=20, random_state=seed),
    )


def split_rows(pictures: Pictures, seed: int) -> tuple[Pictures, Pictures]:
    """Split row by row, stratified, as most tutorials do: right only if no two rows show the same picture."""
    parts = train_test_split(
        np.arange(len(pictures)), test_size=VALIDATION_SPLIT, stratify=pictures.labels, random_state=seed
    )
    return tuple(pictures.take(rows) for rows in parts)


def oversample(pictures: Pictures, seed: int) -> Pictures:
    """Repeat random pictures of the smaller classes until all classes are as large as the largest."""
    generator = np.random.default_rng(seed)
    counts = np.bincount(pictures.labels, minlength=len(EMOTIONS))
    extra = [
        generator.choice(np.flatnonzero(pictures.labels == code), counts.max() - n)
        for code, n in enumerate(counts)
        if n
    ]
    return pictures.take(np.concatenate([np.arange(len(pictures)), *extra]))


def augment(pictures: Pictures, seed: int, versions: int = AUGMENTED_VERSIONS) -> Pictures:
    """Add randomly turned, shifted and zoomed versions of every picture.

    Args:
        pictures: the originals, which stay.
        seed: for the draws.
        versions: how many to add for each.
    """
    generator, centre = np.random.default_rng(seed), (pictures.images.shape[1] - 1) / 2
    changed = np.repeat(pictures.images, versions, axis=0)
    for i, image in enumerate(changed):
        angle, zoom = generator.uniform(-ROTATION_DEGREES, ROTATION_DEGREES), generator.uniform(1 - ZOOM, 1 + ZOOM)
        matrix = cv2.getRotationMatrix2D((centre, centre), angle, zoom)
        matrix[:, 2] += generator.uniform(-SHIFT_PIXELS, SHIFT_PIXELS, 2)
        changed[i] = cv2.warpAffine(image, matrix, image.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    return Pictures(
        np.concatenate([pictures.images, changed]),
        np.concatenate([pictures.labels, np.repeat(pictures.labels, versions)]),
        np.concatenate([pictures.features, edge_features(changed)]),
        np.concatenate([pictures.sources, np.repeat(pictures.sources, versions)]),
    )


def is_right(head, pictures: Pictures) -> np.ndarray:
    """Return bool (n,): whether the head names each picture as its label does."""
    return head.predict(pictures.features) == pictures.labels
