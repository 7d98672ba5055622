"""Boxes that a reader cannot miss."""

from html import escape

from IPython.display import HTML, display

STYLE = "border-left: 6px solid {}; background: {}; color: #222; padding: 0.6em 1em; margin: 0.4em 0; max-width: 60em"


def warn(text: str) -> None:
    """Show a warning as a yellow box in a notebook; as plain text elsewhere."""
    _show(text, "Please note", "#c98a00", "#fff6dd")


def inform(text: str) -> None:
    """Show a remark as a blue box in a notebook; as plain text elsewhere."""
    _show(text, "For your information", "#2f6fb0", "#eaf3fc")


def _show(text: str, title: str, edge: str, ground: str) -> None:
    class Box(HTML):
        def __repr__(self):
            return f"{title}: {text}"

    display(Box(f'<div role="note" style="{STYLE.format(edge, ground)}"><b>{title}.</b> {escape(text)}</div>'))
