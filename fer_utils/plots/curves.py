"""Learning curves and step sizes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fer_utils.plots.finish import finish

MARKS = "os^Dv*P"


def learning_curves(histories: dict[str, pd.DataFrame], title: str = "", second_stage: int | None = None) -> Figure:
    """Draw loss and accuracy against the epoch: dashed on the training part, solid on the validation part.

    Args:
        histories: by name of the run; columns loss, val_loss, accuracy, val_accuracy, index the epoch.
        title: above everything.
        second_stage: the epoch with which a second stage begins; a dotted line is drawn before it.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    palette = sns.color_palette("deep", len(histories))
    # Not by colour alone: each run has marks of its own.
    for colour, mark, (name, history) in zip(palette, MARKS, histories.items(), strict=False):
        look = {"color": colour, "marker": mark, "ms": 4, "markevery": max(len(history) // 10, 1)}
        prefix = f"{name}, " if len(histories) > 1 else ""
        for ax, measure in zip(axes, ("loss", "accuracy"), strict=True):
            ax.plot(history.index, history[measure], "--", label=f"{prefix}training", **look)
            ax.plot(history.index, history[f"val_{measure}"], label=f"{prefix}validation", **look)
            ax.set(xlabel="epoch", ylabel=measure)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if second_stage is not None:
        for ax in axes:
            ax.axvline(second_stage - 0.5, linestyle=":", color="#555555", lw=1)
    # Up to one decimal: ticks of a narrow range would read the same otherwise.
    axes[1].yaxis.set_major_formatter(lambda value, _: f"{round(100 * value, 1):g}%")
    axes[1].legend(fontsize=8, frameon=False)
    sns.despine(figure)
    if title:
        figure.suptitle(title, fontsize=11)
    return finish(figure)


def step_sizes(rate, epochs: int, steps: int) -> Figure:
    """Draw how large a step is, against the epoch.

    Args:
        rate: a function from the number of the step to its size, such as a schedule of Keras.
        epochs: in all.
        steps: in an epoch.
    """
    figure, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
    # Enough to look smooth; a long training has tens of thousands.
    at = np.unique(np.linspace(0, epochs * steps, 201).astype(int))
    ax.plot(at / steps, [float(rate(step)) for step in at])
    ax.set(xlabel="epoch", ylabel="step size", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    sns.despine(figure)
    return finish(figure)
