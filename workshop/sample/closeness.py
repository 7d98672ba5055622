"""How close faces come to one another and to real ones: distances in pixels and in shapes, to the nearest and beyond.

Everything here works on arrays.
"""

import cv2
import numpy as np
from tqdm.auto import tqdm

HOG = {"_winSize": (48, 48), "_blockSize": (16, 16), "_blockStride": (8, 8), "_cellSize": (8, 8), "_nbins": 9}


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
    similar = np.sort(most_similar(queries, references[first], describe, neighbours + 1, chunk, "next real faces"))
    distances = np.sqrt(np.maximum(2.0 - 2.0 * similar, 0.0))
    return distances[:, -1] / np.maximum(distances[:, :-1].mean(axis=1), 1e-6)


def most_similar(queries, references, describe, count, chunk, title):
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
