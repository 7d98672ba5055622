"""Charts of the dataset: counts and brightness."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from fer_utils.common.labels import EMOTIONS
from fer_utils.plots.finish import finish

# Okabe and Ito's palette keeps seven classes apart for colour-blind readers as well.
COLOURS = dict(
    zip(EMOTIONS, ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#999999"), strict=True)
)


def counts_chart(counts: pd.DataFrame, title: str = "") -> Figure:
    """Draw bars of images per emotion, one panel a column, for a table with one row an emotion."""
    figure, axes = plt.subplots(
        1, len(counts.columns), figsize=(4.8 * len(counts.columns), 3.2), squeeze=False, layout="constrained"
    )
    for ax, column in zip(axes.flat, counts.columns, strict=True):
        sns.barplot(x=counts.index, y=counts[column], hue=counts.index, palette=COLOURS, legend=False, ax=ax)
        for bars in ax.containers:
            ax.bar_label(bars, fmt="{:,.0f}", fontsize=8)
        ax.set(title=str(column), xlabel="", ylabel="images")
        ax.tick_params(axis="x", rotation=30)
        ax.margins(y=0.12)
    sns.despine(figure)
    if title:
        figure.suptitle(title, fontsize=11)
    return finish(figure)


def pixel_histograms(images: np.ndarray, labels: np.ndarray, bins: int = 32) -> Figure:
    """Draw how often each grey level occurs, one panel an emotion, for uint8 images (n, 48, 48).

    Bars are the emotion, the line above them all pictures, so that each panel can be compared with the rest.
    """
    figure, axes = plt.subplots(2, 4, figsize=(10, 4), sharex=True, sharey=True, layout="constrained")
    edges = np.linspace(0, 256, bins + 1)
    everything = 100 * np.histogram(images, edges)[0] / images.size
    for i, (emotion, ax) in enumerate(zip(EMOTIONS, axes.flat, strict=False)):
        chosen = images[labels == i]
        share = 100 * np.histogram(chosen, edges)[0] / max(chosen.size, 1)
        bars = ax.bar(edges[:-1], share, edges[1], align="edge", color=COLOURS[emotion])
        (line,) = ax.step(edges, [*everything, everything[-1]], where="post", color="black", linewidth=1)
        ax.set_title(emotion, fontsize=10)
        ax.set(xlim=(0, 256), xticks=(0, 128, 255))
        ax.tick_params(labelbottom=True)
    axes[1, 3].set_axis_off()
    axes[1, 3].legend([bars[0], line], ["this emotion", "all pictures"], loc="center", frameon=False)
    figure.supxlabel("grey level (0 black, 255 white)", fontsize=10)
    figure.supylabel("share of the pixels, %", fontsize=10)
    sns.despine(figure)
    return finish(figure)
