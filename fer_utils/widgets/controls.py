"""Two controls that ipywidgets lacks: a place for photos, and a view whose content is never stored.

A widget's state can end up in the notebook's file, with every face in it (ipywidgets#2799). Here pictures travel as
messages in both directions and are no part of any state. JupyterLab, Voilà and VS Code show both through anywidget.
"""

from collections.abc import Callable

import anywidget
import traitlets

from fer_utils.common.paths import PACKAGE

MOST_FILES = 50


def _script(name: str) -> str:
    return (PACKAGE / "widgets" / "assets" / name).read_text(encoding="utf-8")


class PhotoPicker(anywidget.AnyWidget):
    """Takes photos: a button, a place to drop them, and the camera where the browser lends one.

    Args:
        chosen: called when photos have arrived, with a list of (name, bytes), which may be empty, and a list of lines
            that say what was left out and why.
        said: called with a line of text when something went wrong in the browser.
    """

    _esm = _script("photo_picker.js")
    busy = traitlets.Bool(False, help="While true, the control takes nothing.").tag(sync=True)
    most = traitlets.Int(MOST_FILES, help="So many photos are sent by the browser at once, and no more.").tag(sync=True)

    def __init__(self, chosen: Callable, said: Callable, **kwargs):
        super().__init__(**kwargs)
        self._arriving: list[tuple[str, bytearray]] = []
        self._left_out: list[str] = []
        self._given = 0
        self._chosen, self._said = chosen, said
        self.on_msg(self._received)

    def _received(self, _, content: dict, buffers: list) -> None:
        kind, name = content.get("kind"), str(content.get("name", "photo"))
        if kind == "begin":
            self._arriving, self._left_out, self._given = [], [], 0
        elif kind == "part" and (content.get("first") or 0 < self._given <= MOST_FILES):
            if content.get("first"):
                self._given += 1
                if self._given > MOST_FILES:
                    return
                self._arriving.append((name, bytearray()))
            self._arriving[-1][1].extend(buffers[0] if buffers else b"")
        elif kind == "too-large":
            self._left_out.append(f"{name} has more than 150 MB: choose a smaller one")
        elif kind == "no-camera":
            self._said(f"the camera cannot be used ({content.get('reason', 'no reason given')})")
        elif kind == "end":
            arrived, left_out = self._arriving, self._left_out
            self._arriving, self._left_out = [], []
            number = max(self._given + len(left_out), int(content.get("number", 0)))
            if number > MOST_FILES:
                left_out.append(f"{MOST_FILES} of {number} photos taken: choose the others once these are answered")
            self._chosen([(name, bytes(data)) for name, data in arrived], left_out)


class PrivateHTML(anywidget.AnyWidget):
    """Shows HTML that must not be kept: it is sent to every view that asks, and held in memory only.

    Args:
        status: whether it is a message that screen readers shall read out when it changes.
    """

    _esm = _script("private_html.js")
    status = traitlets.Bool(False).tag(sync=True)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._html = ""
        self.on_msg(lambda _, content, buffers: self._show() if content.get("kind") == "ready" else None)

    @property
    def html(self) -> str:
        """What is shown now."""
        return self._html

    @html.setter
    def html(self, html: str) -> None:
        self._html = html
        self._show()

    def _show(self) -> None:
        self.send({"kind": "html", "html": self._html})
