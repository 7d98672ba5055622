"""The uploader: choose photos, press Submit, see the predicted expression of every face."""

from contextlib import contextmanager
from html import escape
from pathlib import Path

import ipywidgets
import numpy as np

from fer_utils.common.errors import UserError
from fer_utils.common.paths import project_root
from fer_utils.detector.detector import EmotionDetector, Face
from fer_utils.detector.photos import Photo, open_photo
from fer_utils.widgets.choices import as_keras, available_models
from fer_utils.widgets.controls import PhotoPicker, PrivateHTML
from fer_utils.widgets.flag_box import FlagBox
from fer_utils.widgets.html import SPINNER, STYLE, percent, photo_html, sentence, unforeseen

WHAT_IT_IS = (
    "The label is a <b>predicted expression</b>: what the face looks like to a network, not what the person feels. "
    "Use a photo of yourself, or one with an open licence. Photos stay on this machine and in memory; one is stored "
    "only if you press <b>Flag</b>."
)


class EmotionUploader:
    """A form for photos: choose, drop or take some, press Submit, see faces, labels and probabilities.

    Display it as the last line of a cell, or drive it without a browser through `submit`, `clear` and `flag`.

    Args:
        detector: an `EmotionDetector`, or any callable from a photo to a list of faces; by default the shipped model.
        output_dir: a folder with trained models, offered in the list; by default the project's runs/.
        flagged: where Flag stores; by default `flagging.flagged_folder()`.
    """

    def __init__(self, detector=None, output_dir: str | Path | None = None, flagged: str | Path | None = None):
        self.detector = detector or EmotionDetector()
        self.flag_box = FlagBox(flagged)
        self.chosen: list[tuple[str, bytes]] = []
        self.results: list[tuple[Photo, list[Face]]] = []
        root = project_root()
        models = available_models(output_dir or (root / "runs" if root else None))
        name = getattr(self.detector, "name", "the model given")
        # The name of the model that `results` come from; another one may be chosen in the list by now.
        self._answered = name
        # The model that was handed over comes first, whatever else there is.
        self._detectors = {name: self.detector}
        self._sources = {name: None} | {key: source for key, source in models.items() if key != name}
        self._keras: dict[str, object] = {}
        self._build()

    def _build(self) -> None:
        self.picker = PhotoPicker(self._arrived, self._complain)
        wide = {"width": "30em", "max_width": "100%"}
        self.model_list = ipywidgets.Dropdown(
            options=list(self._sources),
            description="Model",
            style={"description_width": "4em"},
            layout=wide,
            tooltip="Which network names the expressions",
        )
        self.overlay = ipywidgets.Checkbox(
            description="Show where the model looked (Grad-CAM)",
            indent=False,
            layout={"width": "24em"},
            tooltip="Colours each face by how much its parts spoke for the predicted expression; loads Keras once",
        )
        self.submit_button = ipywidgets.Button(
            description="Submit", button_style="primary", disabled=True, tooltip="Find the faces and predict"
        )
        self.clear_button = ipywidgets.Button(description="Clear", tooltip="Forget photos and results")
        self.message = PrivateHTML(status=True)
        self.result = PrivateHTML()
        note = ipywidgets.HTML(
            f'<div style="max-width: 46em; line-height: 1.4; padding-bottom: 6px">{WHAT_IT_IS}</div>'
        )
        self.view = ipywidgets.VBox(
            [
                note,
                self.picker,
                self.model_list,
                self.overlay,
                ipywidgets.HBox([self.submit_button, self.clear_button]),
                self.message,
                self.result,
                self.flag_box.view,
            ]
        )
        self.submit_button.on_click(lambda _: self.submit())
        self.clear_button.on_click(lambda _: self.clear())
        self.model_list.observe(lambda _: self._model_changed(), "value")
        self.overlay.observe(lambda _: self._overlay_changed(), "value")

    def _ipython_display_(self):
        from IPython.display import display

        display(self.view)

    @property
    def faces(self) -> list[Face]:
        """All faces of the last Submit, photo by photo."""
        return [face for _, faces in self.results for face in faces]

    def submit(self, *photos) -> list[Face]:
        """Predict and show the result; a photo that cannot be opened shows one clear line instead.

        Args:
            photos: whatever `EmotionDetector` accepts; without any, what was chosen in the form.

        Returns:
            The faces found, also kept in `faces`.
        """
        given = [(None, photo) for photo in photos] or self.chosen
        self.results, notes = [], []
        self.result.html = ""
        self.flag_box.offer(self.results, self._answered)
        with self._working():
            detector = self._selected()
            for number, (name, content) in enumerate(given, start=1):
                which = f" {number} of {len(given)}" if len(given) > 1 else ""
                self._say(f"{SPINNER}Looking for faces in photo{which} …")
                try:
                    photo = open_photo(content, name)
                    self.results.append((photo, detector(photo)))
                except UserError as error:
                    notes.append(f"<b>Not opened:</b> {escape(str(error))}.")
                except Exception as error:  # The other photos' results are worth showing all the same.
                    notes.append(unforeseen(error, f" with {name or f'photo {number}'}"))
            self._show(notes)
        return self.faces

    def clear(self) -> None:
        """Forget photos and results."""
        self.chosen, self.results = [], []
        self.result.html = ""
        self.submit_button.disabled = True
        self.flag_box.offer(self.results, self._answered)
        self._say("")

    def flag(self) -> Path | None:
        """Store the photo, the prediction and the correction that are selected; return where the picture lies."""
        return self.flag_box.flag()

    def _arrived(self, files: list[tuple[str, bytes]], left_out: list[str]) -> None:
        self.chosen = files
        self.submit_button.disabled = not files
        names = ", ".join(escape(name) for name, _ in files[:5]) + (" …" if len(files) > 5 else "")
        chosen = f"Chosen: {names}. Press Submit." if files else "Nothing was chosen."
        self._say("<br>".join([*map(sentence, left_out), chosen]))

    def _complain(self, text: str) -> None:
        self._say(sentence(text))

    def _selected(self):
        """Return the detector that is chosen in the list, loading it the first time."""
        name = self.model_list.value
        if name not in self._detectors:
            self._say(f"{SPINNER}Loading {escape(name)} … the first time this takes some seconds.")
            self._detectors[name] = EmotionDetector(self._sources[name])
        self.detector, self._answered = self._detectors[name], name
        return self.detector

    @contextmanager
    def _working(self):
        """Show that something is going on; whatever goes wrong becomes one line, and the form can be used again."""
        self.picker.busy = self.submit_button.disabled = self.clear_button.disabled = True
        try:
            yield
        except UserError as error:
            self._say(sentence(error))
        except Exception as error:  # An exception in a callback would vanish in a log, and the form seem dead.
            self._say(unforeseen(error))
        finally:
            self.picker.busy = self.clear_button.disabled = False
            self.submit_button.disabled = not self.chosen

    def _show(self, notes: list[str] = ()) -> None:
        """Show all results, with what the model looked at if that is wanted."""
        heat = self._heatmaps() if self.overlay.value and self.faces else [None] * len(self.faces)
        parts, at = [STYLE], 0
        for photo, faces in self.results:
            title = f"Photo {len(parts)}: {photo.name}" if len(self.results) > 1 else photo.name
            parts.append(photo_html(title, photo, faces, heat[at : at + len(faces)]))
            at += len(faces)
        self.result.html = f'<div class="fer-result">{"".join(parts)}</div>' if self.results else ""
        self.flag_box.offer(self.results, self._answered)
        lines = [*notes]
        if self.faces:
            lines.append(f"{self._summary()} Model: {escape(self._answered)}.")
            if any(face.unsure for face in self.faces):
                lines.append("A question mark, or “unsure”: even the likeliest expression is less likely than not.")
        elif self.results:
            lines.append("No face found. Try a photo in which the face is larger and looks at the camera.")
        self._say("<br>".join(lines))

    def _summary(self) -> str:
        if len(self.results) > 1:
            return f"{len(self.faces)} faces in {len(self.results)} photos."
        labels = [f"<b>{face.label}</b> ({percent(face.confidence)})" for face in self.faces]
        if len(labels) > 1:
            labels = [f"{number} {label}" for number, label in enumerate(labels, start=1)]
        return f"Predicted expression: {', '.join(labels)}."

    def _model_changed(self) -> None:
        if self.chosen:
            self._say("Press Submit to ask this model.")

    def _overlay_changed(self) -> None:
        if self.faces:
            with self._working():
                self._show()

    def _heatmaps(self) -> np.ndarray:
        """Return how much each place spoke for the predicted expression: float32 (n, 48, 48) in 0..1.

        Of a model that is averaged with the mirror image, this looks into the upright half.
        """
        from fer_utils.explanation.grad_cam import grad_cam

        name = self._answered
        if name not in self._keras:
            self._say(f"{SPINNER}Loading Keras, to look inside the model … the first time this takes some seconds.")
            self._keras[name] = as_keras(self.detector.model)
        classes = np.array([face.probabilities.argmax() for face in self.faces])
        return grad_cam(self._keras[name], np.stack([face.crop for face in self.faces]), classes, progress=False)

    def _say(self, html: str) -> None:
        self.message.html = html
