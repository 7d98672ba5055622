"""Every figure of the series, in one look.

Functions return the matplotlib figure, so that a notebook's last line shows it and a script can save it.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fer_utils.common.labels import EMOTIONS
from fer_utils.plots.data import COLOURS
from fer_utils.plots.finish import finish

# Below so many faces, a share says little.
FEW = 10

# Bars of a reliability diagram: pale where so few faces lie that the height is mostly chance.
BARS = (("#56B4E9", "right"), ("#CFE8F7", f"right, fewer than {FEW} faces"))


def confusion_chart(result: dict, title: str = "") -> Figure:
    """Draw a confusion matrix in percent of each true class, from a score of `evaluation.score`.

    Above it stand the title, which should name the data, then the part and n.
    """
    figure, ax = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
    title = f"{title}{', ' * bool(title)}{result['split']}, n = {result['n']:,}"
    draw_confusion(ax, result, title, colour_bar=True)
    return finish(figure)


def draw_confusion(ax, result: dict, title: str, colour_bar: bool = False) -> None:
    """Draw a confusion matrix of `evaluation.score` into given axes; `confusion_chart` makes a figure of its own."""
    matrix = np.array(result["confusion_matrix"])
    n = matrix.sum(axis=1, keepdims=True)
    share = np.divide(100 * matrix, n, where=n > 0, out=np.zeros(matrix.shape))
    rows = [f"{emotion} (n = {count:,})" for emotion, count in zip(EMOTIONS, n.ravel(), strict=True)]
    sns.heatmap(
        share,
        annot=True,
        fmt=".0f",
        cmap="Blues",
        vmin=0,
        vmax=100,
        xticklabels=EMOTIONS,
        yticklabels=rows,
        ax=ax,
        cbar=colour_bar,
        cbar_kws={"label": "% of the true class"} if colour_bar else None,
    )
    ax.set(xlabel="predicted expression", ylabel="label")
    ax.set_title(title, fontsize=None if colour_bar else 9)
    ax.tick_params(axis="x", rotation=30)


def accuracy_chart(table: pd.DataFrame, split: str, title: str = "") -> Figure:
    """Draw accuracies with their 95 % intervals, one row a model, from `results.comparison`.

    The title should name the data.
    """
    figure, ax = plt.subplots(figsize=(8, 0.5 * len(table) + 1.2), layout="constrained")
    y = np.arange(len(table))[::-1]
    errors = [100 * (table["accuracy"] - table["low"]), 100 * (table["high"] - table["accuracy"])]
    ax.errorbar(100 * table["accuracy"], y, xerr=errors, fmt="o", color="#0072B2", capsize=4)
    ax.set_yticks(y, table["model"])
    ax.set(xlabel=f"accuracy on {split}, % (bar: 95 % interval)", xlim=(0, 100), ylim=(-0.6, len(table) - 0.4))
    ax.set_title(title, fontsize=11)
    ax.grid(axis="x", alpha=0.3)
    sns.despine(figure)
    return finish(figure)


def probability_chart(probabilities: np.ndarray, title: str = "") -> Figure:
    """Draw the seven probabilities of one face as bars."""
    figure, ax = plt.subplots(figsize=(4.6, 2.6), layout="constrained")
    ax.barh(EMOTIONS, 100 * np.asarray(probabilities), color=[COLOURS[emotion] for emotion in EMOTIONS])
    ax.bar_label(ax.containers[0], fmt="%.0f %%", padding=3, fontsize=8)
    ax.invert_yaxis()
    ax.set(xlim=(0, 112), xticks=range(0, 101, 25), xlabel="probability, %", title=title)
    sns.despine(figure)
    return finish(figure)


def reliability_chart(tables: dict[str, pd.DataFrame]) -> Figure:
    """Draw reliability diagrams side by side: how often the answer was right against how sure the model was.

    A calibrated model's bars end on the dashed line (DeGroot & Fienberg 1983; Guo et al. 2017).

    Args:
        tables: from `calibration.reliability`, by title.
    """
    figure, axes = plt.subplots(
        1, len(tables), figsize=(4.6 * len(tables), 4), layout="constrained", sharey=True, squeeze=False
    )
    # Or the 100 % of one panel would run into the 0 % of the next.
    figure.set_layout_engine("constrained", wspace=0.1)
    for ax, (title, table) in zip(axes[0], tables.items(), strict=True):
        width = table["high"] - table["low"]
        for few, (colour, _) in enumerate(BARS):
            part = (table["n"] < FEW) == bool(few)
            ax.bar(
                table["low"][part], table["accuracy"][part], width[part], align="edge", color=colour, edgecolor="white"
            )
        ax.plot(table["confidence"], table["accuracy"], "o", color="#0072B2", ms=3)
        ax.plot([0, 1], [0, 1], "--", color="#555555", lw=1)
        for _, row in table.iterrows():
            ax.text(row["low"] + width.iloc[0] / 2, 0.01, f"{row['n']:.0f}", ha="center", fontsize=7, color="#333333")
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the answer", title=title)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes[0, 0].set_ylabel("share of right answers")
    # The legend is not taken from a panel: a bar that one of them lacks would lend its name to another colour.
    handles = [Patch(color=colour, label=label) for colour, label in BARS]
    handles.append(Line2D([], [], linestyle="--", color="#555555", lw=1, label="as sure as right"))
    figure.legend(handles=handles, fontsize=8, frameon=False, loc="outside upper center", ncols=3)
    sns.despine(figure)
    return finish(figure)
