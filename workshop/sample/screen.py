"""The rules that decide which generated faces are shipped.

1. **Nobody's face**: no face may be closer to a `Training` image, or to its mirror image, than the first percentile
   of the distances between real `PublicTest` images and their nearest `Training` image, measured twice: on pixels and
   on shapes (histograms of oriented gradients).
   Nor may it be much closer to one `Training` image than to those that come next: under `LONELY` times their mean
   distance, measured in the same two ways, it counts as learned by heart. This finds what a fixed distance misses, a
   real face repeated in another light; Carlini et al. 2023 ("Extracting training data from diffusion models",
   arXiv:2301.13188) compare with the next neighbours, too.
2. **No near-identical pair**: of two generated faces closer than the same limit in pixels, the second goes; likewise
   of two that the series' own search for near duplicates (`fer_utils.audit.near_copies`) takes for one photograph, so
   that what students find with it is what was planted.
3. **Broken faces**: the faces of a class are ranked twice, and each counts by the worse of its two ranks; the stated
   share is kept. Neither ranking sees a label, so the rule cannot prefer expressions that are easy to name.
   - How typical their shapes are: similar to their five nearest `Training` images in the histograms of oriented
     gradients, of whatever class. It is the idea of the realism score of Kynkäänniemi et al. 2019 (arXiv:1904.06991,
     section 5) with a simpler measure. A discriminator was tried first, and ranked by texture: it put whole faces last.
   - How sure a face detector's last network is that there is a face at all (`FaceFinder.face_probability`). It never
     saw FER-2013, and notices what shapes forgive: a second mouth, an eye too many.

Everything here works on arrays.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.stats import rankdata
from tqdm.auto import tqdm

from fer_utils import audit
from fer_utils.common.labels import EMOTIONS
from fer_utils.detector.faces import FaceFinder

LONELY = {"disgust": 0.92}

LONELY_ELSE = 0.88  # in every other class

HOG = {"_winSize": (48, 48), "_blockSize": (16, 16), "_blockStride": (8, 8), "_cellSize": (8, 8), "_nbins": 9}

"""Under this share of the mean distance to the next seven real faces, the nearest one counts as the pattern. Read off
the closest pairs of a generator's faces, looked at in this order. Of disgust, whose few real images the network had
seen more often than others, all pairs up to 0.71 were copies, and single ones showed the same man up to 0.91. Of the
other classes none was a copy, but up to 0.87 some shared a pose and a crop."""


def pixel_vectors(images):
    """Return each image at 24x24 with zero mean and unit norm, `float32 (n, 576)`: brightness and contrast aside.

    `images` is `uint8 (n, 48, 48)`. A blank image becomes the zero vector. Distances lie in 0..2.
    """
    small = np.stack([cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA) for image in images])
    vectors = small.reshape(len(images), -1).astype("float32")
    vectors -= vectors.mean(axis=1, keepdims=True)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def shape_vectors(images):
    """Return the histogram of oriented gradients of each image with unit norm, `float32 (n, 900)`.

    `images` is `uint8 (n, 48, 48)`. Dalal & Triggs 2005, "Histograms of oriented gradients for human detection"
    (CVPR): the edges' directions in 8x8 cells, which a small shift, another lighting or other grey values hardly
    change. Distances lie in 0..1.41.
    """
    descriptor = cv2.HOGDescriptor(**HOG)
    vectors = np.stack([descriptor.compute(np.ascontiguousarray(image)).ravel() for image in images])
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def nearest(queries, references, describe, chunk=1000):
    """Find for each query the nearest reference or mirrored reference.

    Args:
        queries: uint8 (n, 48, 48).
        references: uint8 (m, 48, 48).
        describe: `pixel_vectors`, `shape_vectors` or another function from images to float vectors.
        chunk: queries at once; it bounds the memory, not the result.

    Returns:
        (Euclidean distances float32 (n,), positions int64 (n,) of the nearest references).
    """
    # Mirroring the few queries comes to the same as mirroring the many references, at a fraction of the memory.
    straight, mirrored = describe(queries), describe(queries[:, :, ::-1])
    stored = describe(references)
    lengths = np.square(stored).sum(axis=1)
    distances, positions = [], []
    for start in tqdm(range(0, len(queries), chunk), "nearest real faces", delay=2, leave=False):
        best = np.minimum(
            *[
                np.square(part[start : start + chunk]).sum(axis=1)[:, None]
                + lengths
                - 2.0 * part[start : start + chunk] @ stored.T
                for part in (straight, mirrored)
            ]
        )
        positions.append(best.argmin(axis=1))
        distances.append(np.sqrt(np.maximum(best.min(axis=1), 0.0)))
    return np.concatenate(distances), np.concatenate(positions)


def closeness_limit(real_distances, percentile=1.0):
    """Return the distance under which a generated face counts as too close to a real one.

    `real_distances` are those of `PublicTest` images to their nearest `Training` image. FER-2013 itself has 280
    PublicTest images with an identical twin in `Training`; they are left out, because with them the limit would be
    zero and nothing would ever be too close.
    """
    return float(np.percentile(real_distances[real_distances > 0.02], percentile))


def loneliness(queries, references, describe, neighbours=7, chunk=500):
    """Return how near the nearest reference is in proportion to the following ones, `float32 (n,)` in 0..1.

    It is the distance to the nearest, divided by the mean distance to the `neighbours` that come next. Copies among the
    references count once, or the nearest one's own copy would come next. A query is compared in both directions.

    Args:
        queries: uint8 (n, 48, 48).
        references: uint8 (m, 48, 48), m above `neighbours`.
        describe: as for `nearest`, with vectors of unit norm.
        neighbours: how many.
        chunk: queries at once; it bounds the memory, not the result.
    """
    _, first = np.unique(references.reshape(len(references), -1), axis=0, return_index=True)
    similar = np.sort(_most_similar(queries, references[first], describe, neighbours + 1, chunk, "next real faces"))
    distances = np.sqrt(np.maximum(2.0 - 2.0 * similar, 0.0))
    return distances[:, -1] / np.maximum(distances[:, :-1].mean(axis=1), 1e-6)


def _most_similar(queries, references, describe, count, chunk, title):
    """Return the `count` largest cosine similarities of each query, in either direction, to references, in no order."""
    straight, mirrored, stored = describe(queries), describe(queries[:, :, ::-1]), describe(references)
    largest = []
    for start in tqdm(range(0, len(queries), chunk), title, delay=2, leave=False):
        similar = np.maximum(*[part[start : start + chunk] @ stored.T for part in (straight, mirrored)])
        largest.append(np.partition(similar, -count, axis=1)[:, -count:])
    return np.concatenate(largest)


def near_pairs(images, limit, describe=pixel_vectors, chunk=1000):
    """Return the positions of images that lie closer than `limit` to an earlier one or its mirror image."""
    straight, mirrored = describe(images), describe(images[:, :, ::-1])
    later = []
    for start in tqdm(range(0, len(images), chunk), "near pairs", delay=2, leave=False):
        part = straight[start : start + chunk]
        squared = 2.0 - 2.0 * np.maximum(part @ straight.T, part @ mirrored.T)
        position = np.arange(start, start + len(part))[:, None]
        close = (squared < limit**2) & (np.arange(len(images))[None, :] < position)
        later.append(start + np.flatnonzero(close.any(axis=1)))
    return np.concatenate(later)


def typicality(images, training, neighbours=5, chunk=500):
    """Return how typical the shapes of each image are of real faces, `float32 (n,)` in 0..1, higher is more so.

    It is the mean cosine similarity of the histograms of oriented gradients of the image, or of its mirror image, and
    its nearest `Training` images. Melted features and misplaced eyes lower it, and so does a turned head: with a small
    share kept, the sample gets more frontal than the real faces are.

    Args:
        images: uint8 (n, 48, 48).
        training: uint8 (m, 48, 48).
        neighbours: how many nearest images count.
        chunk: images at once; it bounds the memory, not the result.
    """
    return _most_similar(images, training, shape_vectors, neighbours, chunk, "typicality").mean(axis=1)


def face_likeness(images):
    """Return how much each image looks like a face to a face detector, `float32 (n,)`, in logits, higher is more so.

    It is the mean over the image and its mirror image, each as it is, cut by three pixels on all sides, and widened by
    three: a whole face does not depend on the crop.

    Args:
        images: uint8 (n, 48, 48).

    Raises:
        UserError: if the package with the detector's networks is missing.
    """
    finder, total = FaceFinder(), np.zeros(len(images))
    for change in tqdm((0, -3, 3), "likeness to a face", delay=2, leave=False):
        crops = np.stack([_recropped(image, change) for image in images])
        for views in (crops, crops[:, :, ::-1]):
            probability = finder.face_probability(np.repeat(views[..., np.newaxis], 3, axis=-1)).astype("float64")
            probability = np.clip(probability, 1e-6, 1 - 1e-6)
            total += np.log(probability / (1 - probability)) / 6
    return total.astype("float32")


def _recropped(image, change):
    """Return the image with `change` pixels more on each side, or fewer, at its old size."""
    if change < 0:
        cut = image[-change:change, -change:change]
    else:
        cut = cv2.copyMakeBorder(image, change, change, change, change, cv2.BORDER_REPLICATE)
    return cv2.resize(cut, image.shape, interpolation=cv2.INTER_LINEAR)


@dataclass
class Screened:
    """What `screen` decided.

    Attributes:
        kept: positions, int64, the best by rule 3 first within each class.
        counts: how many faces were drawn, how many each rule removed, and how many are left.
        limits: the two distances of rule 1.
    """

    kept: np.ndarray
    counts: dict
    limits: dict


def screen(images, labels, training, public, share):
    """Apply the three rules.

    Args:
        images: generated faces, uint8 (n, 48, 48).
        labels: their classes, integers (n,).
        training: the real images of that part, uint8 (m, 48, 48).
        public: the real images of PublicTest, uint8 (k, 48, 48).
        share: the part of each class that rule 3 keeps, 0..1.

    Returns:
        A `Screened`.
    """
    removed = np.zeros(len(images), bool)
    counts, limits = {"drawn": len(images)}, {}
    for name, describe in (("pixels", pixel_vectors), ("shapes", shape_vectors)):
        limits[name] = closeness_limit(nearest(public, training, describe)[0])
        close = nearest(images, training, describe)[0] < limits[name]
        counts[f"too close to a real face in {name}"] = int((close & ~removed).sum())
        removed |= close
    by_heart, limit = np.zeros(len(images), bool), np.full(len(images), LONELY_ELSE)
    for emotion, stricter in LONELY.items():
        limit[np.asarray(labels) == EMOTIONS.index(emotion)] = stricter
    for describe in (pixel_vectors, shape_vectors):
        by_heart |= loneliness(images, training, describe) < limit
    counts["learned by heart"] = int((by_heart & ~removed).sum())
    removed |= by_heart
    pairs = np.zeros(len(images), bool)
    pairs[near_pairs(images, limits["pixels"])] = True
    for mirrored in (False, True):
        pairs[audit.near_pairs(images, mirrored=mirrored)["second"]] = True
    counts["near-identical to another"] = int((pairs & ~removed).sum())
    removed |= pairs
    rankings, kept = (typicality(images, training), face_likeness(images)), []
    for code in np.unique(labels):
        left = np.flatnonzero((labels == code) & ~removed)
        worse = np.maximum(*[rankdata(-scores[left], method="min") for scores in rankings])
        ranked = left[np.argsort(worse, kind="stable")]
        kept.append(ranked[: int(np.floor(share * len(ranked)))])
    kept = np.concatenate(kept)
    counts["broken: least typical, or least like a face"] = len(images) - int(removed.sum()) - len(kept)
    counts["kept"] = len(kept)
    return Screened(kept, counts, limits)
