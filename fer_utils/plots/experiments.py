"""Charts of the recorded experiments."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fer_utils.plots.finish import finish

DASHES = ("-", "--", "-.", ":")


def protocol_chart(table: pd.DataFrame, title: str = "") -> Figure:
    """Draw what each protocol reports and what the same model honestly scores, from `wrong_protocols.compare`.

    The title should name the data.
    """
    figure, ax = plt.subplots(figsize=(8, 0.42 * len(table) + 1.3), layout="constrained")
    y = np.arange(len(table))[::-1]
    ax.hlines(y, 100 * table["honest"], 100 * table["reported"], color="#BBBBBB", linewidth=3, zorder=1)
    for name, low, high, colour, label in (
        ("honest", "honest low", "honest high", "#0072B2", "honest, the same model"),
        ("reported", "low", "high", "#D55E00", "what the protocol reports"),
    ):
        errors = [100 * (table[name] - table[low]), 100 * (table[high] - table[name])]
        ax.errorbar(100 * table[name], y, xerr=errors, fmt="o", color=colour, capsize=3, label=label)
    ax.set_yticks(y, table["protocol"])
    ax.set(xlabel="% (bar: 95 % interval)", xlim=(0, 102), ylim=(-0.6, len(table) - 0.4))
    ax.grid(axis="x", alpha=0.3)
    ax.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    ax.set_title(title, fontsize=11, loc="left")
    sns.despine(figure)
    return finish(figure)


def remedy_chart(table: pd.DataFrame, title: str = "") -> Figure:
    """Draw each remedy against unequal classes: mean over the seeds with its interval, from `benchmarks.remedies`.

    The title should name the data.
    """
    measures, remedies = table["measure"].unique(), table["remedy"].unique()
    figure, axes = plt.subplots(
        1, len(measures), figsize=(2.7 * len(measures), 0.4 * len(remedies) + 1.3), sharey=True, layout="constrained"
    )
    y = np.arange(len(remedies))[::-1]
    for ax, measure in zip(np.atleast_1d(axes), measures, strict=True):
        rows = table[table["measure"] == measure].set_index("remedy").loc[remedies]
        mean, errors = 100 * rows["mean"], [100 * (rows["mean"] - rows["low"]), 100 * (rows["high"] - rows["mean"])]
        ax.axvline(mean.iloc[0], color="#BBBBBB", linewidth=1)
        ax.errorbar(mean, y, xerr=errors, fmt="none", ecolor="#56B4E9", capsize=3)
        # The thick bar is what another seed changes, the thin one what other pictures and seeds change.
        ax.hlines(y, mean - 100 * rows["spread"], mean + 100 * rows["spread"], color="#0072B2", linewidth=5)
        ax.plot(mean, y, "o", color="white", markeredgecolor="#0072B2", ms=5)
        ax.set_title(f"{measure}\n(n = {rows['n'].iloc[0]:,})", fontsize=9)
        ax.set(xlabel="%", ylim=(-0.6, len(remedies) - 0.4))
        ax.grid(axis="x", alpha=0.3)
    np.atleast_1d(axes)[0].set_yticks(y, remedies)
    if title:
        figure.suptitle(title, fontsize=11)
    sns.despine(figure)
    return finish(figure)


def seeds_chart(table: pd.DataFrame, title: str = "") -> Figure:
    """Draw validation accuracies of several ways to train: a thin line for each seed, a thick one for their mean.

    Args:
        table: columns "way", "seed", "epoch" and "validation" (an accuracy in 0..1).
        title: above everything; it should name the data.
    """
    figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
    ways = table["way"].unique()
    # Not by colour alone: each way has a dash of its own.
    for colour, dash, way in zip(sns.color_palette("deep", len(ways)), DASHES, ways, strict=False):
        curves = 100 * table[table["way"] == way].pivot(index="epoch", columns="seed", values="validation")
        ax.plot(curves, dash, color=colour, lw=0.8, alpha=0.6)
        ax.plot(curves.mean(axis=1), dash, color=colour, lw=2.5, label=f"{way}, {curves.shape[1]} seeds")
    ax.set(xlabel="epoch", ylabel="accuracy on the validation part")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}%")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize=8, frameon=False)
    if title:
        figure.suptitle(title, fontsize=11)
    sns.despine(figure)
    return finish(figure)
