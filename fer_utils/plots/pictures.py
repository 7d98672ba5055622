"""Grids of pictures."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_utils.common.labels import EMOTIONS
from fer_utils.plots.finish import finish

CELL = 1.15


def image_grid(images, titles=None, columns: int = 8, row_labels=None, title: str = "") -> Figure:
    """Draw grey images in rows.

    Args:
        images: uint8 or float (n, height, width), 0..255.
        titles: a short text above each image, or above the first ones; or None.
        columns: images in a row.
        row_labels: a text at the left of each row, or None.
        title: above everything.
    """
    rows = max(-(-len(images) // columns), 1)
    titled_rows = -(-len(titles) // columns) if titles is not None else 0
    height = CELL * (rows + 0.3 * titled_rows) + (0.4 if title else 0)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * CELL + 0.6, height), squeeze=False, layout="constrained"
    )
    for i, ax in enumerate(axes.flat):
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        if i < len(images):
            # Unsmoothed pixels are what the network sees, and the file stays a third as large.
            ax.imshow(np.squeeze(images[i]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            if titles is not None and i < len(titles):
                ax.set_title(titles[i], fontsize=8)
    for ax, label in zip(axes[:, 0], row_labels or (), strict=False):
        ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=10)
    if title:
        figure.suptitle(title, fontsize=11)
    return finish(figure)


def class_grid(images: np.ndarray, labels: np.ndarray, per_class: int = 8, seed: int = 0, title: str = "") -> Figure:
    """Draw random images of every emotion, one row an emotion, for images uint8 (n, 48, 48) and labels int64 (n,)."""
    generator = np.random.default_rng(seed)
    chosen = np.zeros((len(EMOTIONS) * per_class, *images.shape[1:]), images.dtype) + 255
    for i in range(len(EMOTIONS)):
        candidates = np.flatnonzero(labels == i)
        drawn = generator.choice(candidates, min(per_class, len(candidates)), replace=False)
        chosen[i * per_class : i * per_class + len(drawn)] = images[np.sort(drawn)]
    return image_grid(chosen, columns=per_class, row_labels=EMOTIONS, title=title)


def copies_grid(images: np.ndarray, usage: np.ndarray, pairs: pd.DataFrame, n: int = 8) -> Figure:
    """Draw near copies, one pair a column: both pictures, and below how they differ (mid grey: not at all).

    Args:
        images: uint8 (m, 48, 48).
        usage: str (m,), the part of each picture; it stands above the column.
        pairs: from `near_duplicates.near_pairs`.
        n: how many pairs to draw, the first ones.
    """
    drawn = pairs.head(n)
    first, second = drawn["first"].to_numpy(), drawn["second"].to_numpy()
    # Three times as strong: a difference of some grey levels is hard to see.
    difference = 128 + 3 * (images[second].astype(float) - images[first])
    titles = [f"{usage[i]}\n{usage[j]}" for i, j in zip(first, second, strict=True)]
    rows = [*images[first], *images[second], *difference]
    return image_grid(rows, titles, max(len(drawn), 1), ["a picture", "its near copy", "difference"])


def suspicions_grid(images, ranked: pd.DataFrame, n: int = 16, wrong: np.ndarray | None = None) -> Figure:
    """Draw the most suspicious labels: label, then what a model saw, and below whether the label is wrong, if known.

    Args:
        images: uint8 (m, 48, 48).
        ranked: from `label_noise.suspicious_labels`.
        n: how many to draw.
        wrong: bool (m,), the truth; None where nobody knows it.
    """
    worst = ranked.head(n)
    titles = [f"{EMOTIONS[row.label]}\n→ {EMOTIONS[row.suggested]}" for row in worst.itertuples()]
    if wrong is not None:
        verdicts = np.where(wrong[worst.index], "wrong label", "right label")
        titles = [f"{title}\n{verdict}" for title, verdict in zip(titles, verdicts, strict=True)]
    return image_grid(images[worst.index.to_numpy()], titles, columns=8)


def confident_mistakes(images, labels: np.ndarray, probabilities: np.ndarray, n: int = 16) -> Figure:
    """Draw the mistakes a model was surest of: label, then prediction and its probability."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:n]
    titles = [f"{EMOTIONS[labels[i]]}\n→ {EMOTIONS[predicted[i]]} {confidence[i]:.0%}" for i in worst]
    return image_grid(images[worst], titles, columns=8)
