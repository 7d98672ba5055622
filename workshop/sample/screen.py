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
from workshop.sample.closeness import (
    closeness_limit,
    loneliness,
    most_similar,
    near_pairs,
    nearest,
    pixel_vectors,
    shape_vectors,
)

# Under this share of the mean distance to the next seven real faces, the nearest one counts as the pattern. Read off
# the closest pairs of a generator's faces, looked at in this order. Of disgust, whose few real images the network had
# seen more often than others, all pairs up to 0.71 were copies, and single ones showed the same man up to 0.91. Of the
# other classes none was a copy, but up to 0.87 some shared a pose and a crop.
LONELY = {"disgust": 0.92}
LONELY_ELSE = 0.88  # in every other class


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
    return most_similar(images, training, shape_vectors, neighbours, chunk, "typicality").mean(axis=1)


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
