"""The probabilities of a video's faces against the time."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from fer_utils.common.labels import EMOTIONS

# A page with more panels could not be read.
MOST_PEOPLE = 4


def expressions_over_time(table: pd.DataFrame, title: str = "") -> Figure:
    """Draw the seven probabilities against the time, one panel for each of the people seen most often, at most four.

    Args:
        table: one row a face; columns seconds, face (who it is), and a probability 0..1 for each of `EMOTIONS`.
        title: above everything.
    """
    often = table["face"].value_counts().index[:MOST_PEOPLE].sort_values()
    rows = max(1, len(often))
    figure, axes = plt.subplots(
        rows, 1, figsize=(9, 1 + 2.2 * rows), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    palette = sns.color_palette("colorblind", len(EMOTIONS))
    for who, ax in zip(often, axes[:, 0], strict=False):
        seen = table[table["face"] == who].sort_values("seconds")
        for i, (colour, emotion) in enumerate(zip(palette, EMOTIONS, strict=True)):
            # Line styles as well as colours, for whoever cannot tell the colours apart.
            style = ("-", "--", "-.", ":")[i % 4]
            ax.plot(seen["seconds"], seen[emotion], style, color=colour, label=emotion, marker=".", ms=4)
        ax.set(ylim=(-0.02, 1.02), ylabel="probability", title=f"face {who}, seen {len(seen)} times")
    axes[-1, 0].set_xlabel("seconds")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    else:
        axes[0, 0].set(ylabel="probability", title="no face was found")
    sns.despine(figure)
    figure.suptitle(title, fontsize=11)
    plt.close(figure)
    return figure
