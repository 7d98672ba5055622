"""Figures of heat maps: over the face, right and wrong side by side, and the randomisation test.

Functions return the matplotlib figure, as in `plots`.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import colormaps
from matplotlib.figure import Figure

from fer_utils.common.labels import EMOTIONS
from fer_utils.plots.finish import finish

CELL = 1.3

# Dark to bright in even steps, also for colour-blind readers and in print; the rainbow has neither.
COLOURS = "inferno"

STRONGEST = 0.65


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return a grey image with a heat map over it, float64 (height, width, 3) in 0..1.

    Args:
        image: uint8 (height, width).
        heat: float (height, width); 0 and below leave the image as it is, the largest value covers it most.
    """
    grey = np.repeat(np.asarray(image, np.float64)[..., np.newaxis] / 255, 3, axis=-1)
    heat = np.clip(heat, 0, None)
    heat = heat / heat.max() if heat.max() > 0 else heat
    strength = STRONGEST * heat[..., np.newaxis]
    return (1 - strength) * grey + strength * colormaps[COLOURS](heat)[..., :3]


def heat_rows(images: np.ndarray, maps: dict[str, np.ndarray], titles=None, title: str = "") -> Figure:
    """Draw faces in the first row and each kind of map below, over the same faces.

    Args:
        images: uint8 (n, height, width).
        maps: float (n, height, width) by name.
        titles: a short text above each face, or None.
        title: above everything.
    """
    n, rows = len(images), 1 + len(maps)
    figure, axes = _axes(rows, n, [1] * n, titles, title)
    for ax, image in zip(axes[0], images, strict=True):
        ax.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for row, heats in zip(axes[1:], maps.values(), strict=True):
        for ax, image, heat in zip(row, images, heats, strict=True):
            ax.imshow(overlay(image, heat), interpolation="nearest")
    for ax, text in zip(axes[0], titles or (), strict=False):
        ax.set_title(text, fontsize=8)
    for ax, name in zip(axes[:, 0], ("", *maps), strict=True):
        ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    return finish(figure)


def right_and_wrong_chart(
    images: np.ndarray, pairs: pd.DataFrame, probabilities: np.ndarray, maps: dict[str, np.ndarray]
) -> Figure:
    """Draw pairs of the same label side by side: at the left one that was named rightly, at the right a mistake.

    Args:
        images: uint8 (n, height, width), the whole part that the positions in `pairs` count in.
        pairs: from `explanation.right_and_wrong`, m rows.
        probabilities: float (n, 7).
        maps: float (2 m, height, width) by name: those of all right images, then those of all wrong ones.
    """
    m, kinds = len(pairs), 1 + len(maps)
    positions = np.concatenate([pairs["right"], pairs["wrong"]]).astype(int)
    # The narrow column in the middle keeps the two sides apart.
    figure, axes = _axes(m, 2 * kinds + 1, [1] * kinds + [0.35] + [1] * kinds, positions, "")
    for ax in axes[:, kinds]:
        ax.set_visible(False)
    for k, position in enumerate(positions):
        side, row = divmod(k, m)
        cells = axes[row, side * (kinds + 1) : side * (kinds + 1) + kinds]
        cells[0].imshow(images[position], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        answer = probabilities[position].argmax()
        cells[0].set_title(f"→ {EMOTIONS[answer]} {probabilities[position, answer]:.0%}", fontsize=8)
        for ax, (name, heats) in zip(cells[1:], maps.items(), strict=True):
            ax.imshow(overlay(images[position], heats[k]), interpolation="nearest")
            ax.set_title(name, fontsize=8)
    for ax, label in zip(axes[:, 0], pairs["label"], strict=True):
        ax.set_ylabel(f"label:\n{EMOTIONS[int(label)]}", rotation=0, ha="right", va="center", fontsize=9)
    return finish(figure)


def randomisation_chart(table: pd.DataFrame) -> Figure:
    """Draw how similar the maps stay while the network loses its weights, from `explanation.randomisation_check`."""
    stages, other = table[table["share"] != "another image"], table[table["share"] == "another image"]
    figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for _, row in other.iterrows():
        ax.axhspan(
            row["low"], row["high"], color="#999999", alpha=0.3, linewidth=0, label="maps of two different images"
        )
    errors = [stages["correlation"] - stages["low"], stages["high"] - stages["correlation"]]
    ax.errorbar(
        stages["share"],
        stages["correlation"],
        yerr=errors,
        fmt="o-",
        color="#0072B2",
        capsize=4,
        label="same image, random weights",
    )
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(
        xlabel="layers with random weights, counted from the output",
        ylabel="rank correlation\nwith the intact map",
        ylim=(-1, 1.05),
    )
    ax.legend(fontsize=8, frameon=False)
    sns.despine(figure)
    return finish(figure)


def _axes(rows: int, columns: int, widths, titles, title: str):
    height = rows * CELL + (0.2 * rows if titles is not None else 0) + (0.4 if title else 0)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(sum(widths) * CELL + 0.8, height),
        squeeze=False,
        layout="constrained",
        width_ratios=widths,
    )
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure, axes
