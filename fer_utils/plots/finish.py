"""The last step of every figure: closed for pyplot, and with a text for whoever cannot see it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MOST_NAMED = 12


def finish(figure: Figure) -> Figure:
    """Close a figure, so that a notebook does not draw it twice, and give its picture an alternative text.

    The text is read off the figure (`alternative_text`). A notebook keeps it beside the picture, and pages made from
    the notebook have it as the picture's `alt`.
    """
    import matplotlib.pyplot as plt

    plt.close(figure)
    # IPython asks an object for this before it draws it in its own way.
    setattr(figure, "_repr_mimebundle_", lambda include=None, exclude=None: _picture(figure))  # noqa: B010
    return figure


def alternative_text(figure: Figure) -> str:
    """Return in words what a figure shows: its title, and for each panel the axes, and what lines and bars reach."""
    title = figure.get_suptitle()
    panels = [ax for ax in figure.axes if ax.get_visible() and (ax.axison or ax.images)]
    grid = [ax for ax in panels if ax.images and not ax.get_xlabel()]
    told = [f"{title}." if title else "", _grid(grid) if grid else ""]
    told += [_panel(ax) for ax in panels if ax not in grid and ax.get_label() != "<colorbar>"]
    return " ".join(" ".join(part.split()) for part in told if part)


def _picture(figure: Figure) -> tuple[dict, dict]:
    from IPython.core.pylabtools import print_figure

    data = {"image/png": print_figure(figure, base64=True), "text/plain": repr(figure)}
    return data, {"image/png": {"alt": alternative_text(figure)}}


def _grid(panels: list[Axes]) -> str:
    names = [text.replace("\n", " ") for ax in panels if (text := ax.get_title() or ax.get_ylabel())]
    more = " and others" if len(names) > MOST_NAMED else ""
    return f"{len(panels)} pictures" + (f": {', '.join(names[:MOST_NAMED])}{more}." if names else ".")


def _panel(ax: Axes) -> str:
    name = ax.get_title() or ax.get_title(loc="left")
    axes = " against ".join(text for text in (ax.get_ylabel(), ax.get_xlabel()) if text)
    # The ends of error bars are lines as well.
    points = [line for line in ax.lines if _length(line) > 1 and line.get_marker() not in ("|", "_")]
    named = [line for line in points if not str(line.get_label()).startswith("_")]
    rows = [row for line in points if (row := _row(ax, line))]
    lines = rows or [_line(line) for line in named or [line for line in points if _length(line) > 2]]
    what = "; ".join([*lines[:MOST_NAMED], *_bars(ax), *_cells(ax)])
    parts = [part for part in (name, axes, what) if part]
    return ": ".join(parts) + "." if parts else ""


def _length(line) -> int:
    return len(np.atleast_1d(line.get_xdata()))


def _row(ax: Axes, line) -> str:
    """Of points that lie one above the other beside names, the value of each."""
    at = {tick: label.get_text() for beside in ax.figure.axes for tick, label in _ticks(beside) if label.get_text()}
    heights = [float(height) for height in line.get_ydata()]
    if len(set(heights)) < len(heights) or not all(height in at for height in heights) or len(at) > len(heights):
        return ""
    return ", ".join(f"{at[height]} {value:.3g}" for height, value in zip(heights, line.get_xdata(), strict=True))


def _ticks(ax: Axes):
    return zip([float(tick) for tick in ax.get_yticks()], ax.get_yticklabels(), strict=False)


def _line(line) -> str:
    values = np.asarray(line.get_ydata(), float)
    name = "" if line.get_label().startswith("_") else f"{line.get_label()} "
    ends = f"from {values[0]:.3g} to {values[-1]:.3g}"
    return f"{name}{ends}, between {np.nanmin(values):.3g} and {np.nanmax(values):.3g}"


def _bars(ax: Axes) -> list[str]:
    bars = [container for container in ax.containers if hasattr(container, "patches")]
    is_flat = any(getattr(container, "orientation", "") == "horizontal" for container in bars)
    values = [patch.get_width() if is_flat else patch.get_height() for bar in bars for patch in bar.patches]
    names = [tick.get_text() for tick in (ax.get_yticklabels() if is_flat else ax.get_xticklabels())]
    if not values:
        return []
    if len(names) == len(values) <= MOST_NAMED:
        return [", ".join(f"{name} {value:,.4g}" for name, value in zip(names, values, strict=True))]
    return [f"{len(values)} bars between {min(values):.3g} and {max(values):.3g}"]


def _cells(ax: Axes) -> list[str]:
    """Of a table of numbers, the diagonal: what was named rightly."""
    n = len(ax.get_yticks())
    if not ax.collections or not ax.texts or n * n != len(ax.texts):
        return []
    names = [tick.get_text() for tick in ax.get_xticklabels()]
    return ["on the diagonal " + ", ".join(f"{names[i]} {ax.texts[i * (n + 1)].get_text()}" for i in range(n))]
