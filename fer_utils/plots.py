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

from fer_utils.labels import EMOTIONS

# Okabe and Ito's palette keeps seven classes apart for colour-blind readers as well.
COLOURS = dict(
    zip(EMOTIONS, ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#999999"), strict=True)
)
CELL = 1.15
# Below so many faces, a share says little.
FEW = 10
# Bars of a reliability diagram: pale where so few faces lie that the height is mostly chance.
BARS = (("#56B4E9", "right"), ("#CFE8F7", f"right, fewer than {FEW} faces"))


def _finish(figure: Figure) -> Figure:
    """Close the figure for pyplot, so that a notebook does not draw it a second time."""
    plt.close(figure)
    return figure


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
    return _finish(figure)


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
    return _finish(figure)


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
    return _finish(figure)


def learning_curves(histories: dict[str, pd.DataFrame], title: str = "", second_stage: int | None = None) -> Figure:
    """Draw loss and accuracy against the epoch: dashed on the training part, solid on the validation part.

    Args:
        histories: by name of the run; columns loss, val_loss, accuracy, val_accuracy, index the epoch.
        title: above everything.
        second_stage: the epoch with which a second stage begins; a dotted line is drawn before it.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    palette = sns.color_palette("deep", len(histories))
    for colour, (name, history) in zip(palette, histories.items(), strict=True):
        for ax, measure in zip(axes, ("loss", "accuracy"), strict=True):
            marker = "o" if len(history) < 12 else None
            prefix = f"{name}, " if len(histories) > 1 else ""
            ax.plot(history.index, history[measure], "--", color=colour, marker=marker, ms=4, label=f"{prefix}training")
            ax.plot(
                history.index, history[f"val_{measure}"], color=colour, marker=marker, ms=4, label=f"{prefix}validation"
            )
            ax.set(xlabel="epoch", ylabel=measure)
            ax.xaxis.get_major_locator().set_params(integer=True)
    if second_stage is not None:
        for ax in axes:
            ax.axvline(second_stage - 0.5, linestyle=":", color="#555555", lw=1)
    # Up to one decimal: ticks of a narrow range would read the same otherwise.
    axes[1].yaxis.set_major_formatter(lambda value, _: f"{round(100 * value, 1):g}%")
    axes[1].legend(fontsize=8, frameon=False)
    sns.despine(figure)
    if title:
        figure.suptitle(title, fontsize=11)
    return _finish(figure)


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
    ax.xaxis.get_major_locator().set_params(integer=True)
    sns.despine(figure)
    return _finish(figure)


def confusion_chart(result: dict, title: str = "") -> Figure:
    """Draw a confusion matrix in percent of each true class, from a score of `evaluation.score`.

    Above it stand the title, which should name the data, then the part and n.
    """
    figure, ax = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
    title = f"{title}{', ' * bool(title)}{result['split']}, n = {result['n']:,}"
    draw_confusion(ax, result, title, colour_bar=True)
    return _finish(figure)


def draw_confusion(ax, result: dict, title: str, colour_bar: bool = False) -> None:
    """Draw a confusion matrix of `evaluation.score` into given axes; `confusion_chart` makes a figure of its own."""
    matrix = np.array(result["confusion_matrix"])
    n = matrix.sum(axis=1, keepdims=True)
    share = np.divide(100 * matrix, n, where=n > 0, out=np.zeros(matrix.shape))
    rows = [f"{emotion} (n = {count:,})" for emotion, count in zip(EMOTIONS, n.ravel(), strict=True)]
    sns.heatmap(
        share, annot=True, fmt=".0f", cmap="Blues", vmin=0, vmax=100, xticklabels=EMOTIONS, yticklabels=rows, ax=ax,
        cbar=colour_bar, cbar_kws={"label": "% of the true class"} if colour_bar else None,
    )  # fmt: skip
    ax.set(xlabel="predicted expression", ylabel="label")
    ax.set_title(title, fontsize=None if colour_bar else 9)
    ax.tick_params(axis="x", rotation=30)


def confident_mistakes(images, labels: np.ndarray, probabilities: np.ndarray, n: int = 16) -> Figure:
    """Draw the mistakes a model was surest of: label, then prediction and its probability."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:n]
    titles = [f"{EMOTIONS[labels[i]]}\n→ {EMOTIONS[predicted[i]]} {confidence[i]:.0%}" for i in worst]
    return image_grid(images[worst], titles, columns=8)


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
    return _finish(figure)


def probability_chart(probabilities: np.ndarray, title: str = "") -> Figure:
    """Draw the seven probabilities of one face as bars."""
    figure, ax = plt.subplots(figsize=(4.6, 2.6), layout="constrained")
    ax.barh(EMOTIONS, 100 * np.asarray(probabilities), color=[COLOURS[emotion] for emotion in EMOTIONS])
    ax.bar_label(ax.containers[0], fmt="%.0f %%", padding=3, fontsize=8)
    ax.invert_yaxis()
    ax.set(xlim=(0, 112), xticks=range(0, 101, 25), xlabel="probability, %", title=title)
    sns.despine(figure)
    return _finish(figure)


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
    figure.get_layout_engine().set(wspace=0.1)
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
    return _finish(figure)


def protocol_chart(table: pd.DataFrame, title: str = "") -> Figure:
    """Draw what each protocol reports and what the same model honestly scores, from `broken_protocols.compare`.

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
    return _finish(figure)


def remedy_chart(table: pd.DataFrame, title: str = "") -> Figure:
    """Draw each remedy against unequal classes: mean over the seeds with its interval, from `imbalance.table`.

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
    return _finish(figure)


def seeds_chart(table: pd.DataFrame, title: str = "") -> Figure:
    """Draw validation accuracies of several ways to train: a thin line for each seed, a thick one for their mean.

    Args:
        table: columns "way", "seed", "epoch" and "validation" (an accuracy in 0..1).
        title: above everything; it should name the data.
    """
    figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
    ways = table["way"].unique()
    for colour, way in zip(sns.color_palette("deep", len(ways)), ways, strict=True):
        curves = 100 * table[table["way"] == way].pivot(index="epoch", columns="seed", values="validation")
        ax.plot(curves, color=colour, lw=0.8, alpha=0.6)
        ax.plot(curves.mean(axis=1), color=colour, lw=2.5, label=f"{way}, {curves.shape[1]} seeds")
    ax.set(xlabel="epoch", ylabel="accuracy on the validation part")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}%")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(fontsize=8, frameon=False)
    if title:
        figure.suptitle(title, fontsize=11)
    sns.despine(figure)
    return _finish(figure)
