"""The lower part of the form: a remark on a prediction, stored when and only when Flag is pressed."""

from html import escape
from pathlib import Path

import ipywidgets

from fer_utils.common.paths import shown
from fer_utils.detector.detector import Face
from fer_utils.detector.photos import Photo
from fer_utils.widgets.controls import PrivateHTML
from fer_utils.widgets.flagging import CORRECTIONS, TABLE, flag, flagged_folder


class FlagBox:
    """Which prediction, what the person sees, and the button.

    Args:
        folder: where Flag stores; by default `flagging.flagged_folder()`.
    """

    def __init__(self, folder: str | Path | None = None):
        self.folder = folder
        self.results: list[tuple[Photo, list[Face]]] = []
        self.model = ""
        sizes = {"style": {"description_width": "8em"}, "layout": {"width": "30em", "max_width": "100%"}}
        self.face = ipywidgets.Dropdown(
            description="Prediction", tooltip="Which prediction you have a remark on", **sizes
        )
        self.correction = ipywidgets.Dropdown(
            options=[("choose …", None), *((name, name) for name in CORRECTIONS)],
            description="What you see",
            tooltip="The expression as you would name it",
            **sizes,
        )
        self.button = ipywidgets.Button(
            description="Flag", icon="flag", tooltip="Store this photo, its prediction and your remark on this machine"
        )
        self.message = PrivateHTML(status=True)
        about = ipywidgets.HTML(
            "<b>Is a prediction wrong?</b> Flag stores the photo and your remark in "
            f"{escape(shown(folder or flagged_folder()))}, on this machine, and nowhere else."
        )
        self.view = ipywidgets.VBox(
            [about, self.face, self.correction, self.button, self.message],
            layout={"display": "none", "margin": "1em 0 0"},
        )
        self.button.on_click(lambda _: self.flag())

    def offer(self, results: list[tuple[Photo, list[Face]]], model: str) -> None:
        """Offer every prediction on these photos, answered by `model`; without any, hide the box."""
        self.results, self.model = results, model
        # Photos go by number here, because this list is part of the widget's state and names may be private.
        options: list[tuple[str, tuple[int, int | None]]] = []
        for index, (_, faces) in enumerate(results):
            photo = f"photo {index + 1}, " if len(results) > 1 else ""
            options += [(f"{photo}face {n}: {face.label}", (index, n)) for n, face in enumerate(faces, start=1)]
            options.append((f"{photo}the photo as a whole", (index, None)))
        self.face.options = options
        self.face.index = 0 if options else None
        self.view.layout.display = "flex" if options else "none"
        self.correction.value = None
        self.message.html = ""

    def flag(self) -> Path | None:
        """Store the photo, the prediction and the correction that are selected; return where the picture lies."""
        if self.face.value is None or self.correction.value is None:
            self.message.html = "Choose what you see first."
            return None
        index, number = self.face.value
        photo, faces = self.results[index]
        try:
            path = flag(photo, faces, number, self.correction.value, self.model, self.folder)
        except OSError as error:
            self.message.html = f"It could not be stored: {escape(str(error))}."
            return None
        self.message.html = (
            f"Stored: {escape(shown(path))}, and a line in {escape(shown(path.with_name(TABLE)))}. "
            "Delete them there whenever you like."
        )
        return path
