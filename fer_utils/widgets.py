"""The uploader: choose a photo, press Submit, see the predicted expression of every face."""

import base64
import io
from html import escape

import ipywidgets

from fer_utils.errors import UserError
from fer_utils.plots import probability_chart
from fer_utils.prediction import EmotionDetector, annotate

WHAT_IT_IS = (
    "The label is a <b>predicted expression</b>: what the face looks like to a network, not what the person feels. "
    "Use a photo of yourself, or one with an open licence. It stays on this machine and is not stored."
)


class EmotionUploader:
    """A small form for one photo: an upload button, Submit, Clear and the result.

    Display it as the last line of a cell, or drive it without a browser through `submit` and `clear`.

    Args:
        detector: an `EmotionDetector`, or any callable from a photo to a list of faces.
    """

    def __init__(self, detector: EmotionDetector):
        self.detector = detector
        self.faces = []
        self.upload = ipywidgets.FileUpload(
            accept="image/*", multiple=False, description="Choose a photo", tooltip="JPEG or PNG, up to 50 megapixels",
            layout={"width": "14em"},
        )  # fmt: skip
        self.submit_button = ipywidgets.Button(description="Submit", button_style="primary", disabled=True)
        self.clear_button = ipywidgets.Button(description="Clear")
        self.message = ipywidgets.HTML()
        self.pictures = ipywidgets.HBox(layout={"flex_flow": "row wrap", "align_items": "flex-start"})
        self.view = ipywidgets.VBox(
            [
                ipywidgets.HTML(f'<div style="max-width: 44em">{WHAT_IT_IS}</div>'),
                ipywidgets.HBox([self.upload, self.submit_button, self.clear_button]),
                self.message,
                self.pictures,
            ]
        )
        self.upload.observe(self._chosen, names="value")
        self.submit_button.on_click(lambda _: self._submit_chosen())
        self.clear_button.on_click(lambda _: self.clear())

    def _ipython_display_(self):
        from IPython.display import display

        display(self.view)

    def submit(self, photo) -> list:
        """Predict on a photo and show the result; a photo that cannot be opened shows one clear line instead.

        Args:
            photo: whatever `EmotionDetector` accepts.

        Returns:
            The faces found, also kept in `faces`.
        """
        self.faces, self.pictures.children = [], ()
        try:
            self.faces = self.detector(photo)
            if not self.faces:
                self._say("No frontal face found. Try a photo in which the face is larger and looks at the camera.")
                return []
            pictures = [_as_widget(annotate(photo, self.faces), "the photo with a box on every face")]
            for number, face in enumerate(self.faces, start=1):
                chart = probability_chart(face.probabilities, f"face {number}: {face.label}")
                pictures.append(_as_widget(chart, f"probabilities of face {number}"))
            self.pictures.children = pictures
            labels = [f"{i}: <b>{face.label}</b> ({face.confidence:.0%})" for i, face in enumerate(self.faces, 1)]
            self._say(f"Predicted expression, face {', '.join(labels)}")
        except UserError as error:
            text = str(error)
            self._say(escape(text[0].upper() + text[1:]) + ".")
        return self.faces

    def clear(self) -> None:
        """Forget the photo and the result."""
        self.faces, self.upload.value, self.pictures.children = [], (), ()
        self.submit_button.disabled = True
        self._say("")

    def _chosen(self, change) -> None:
        self.submit_button.disabled = not change["new"]
        self._say(f"Chosen: {escape(change['new'][0]['name'])}. Press Submit." if change["new"] else "")

    def _submit_chosen(self) -> None:
        self._say("Looking for faces …")
        self.submit(bytes(self.upload.value[0]["content"]))

    def _say(self, html: str) -> None:
        self.message.value = f'<div role="status" style="font-size: 1.1em">{html}</div>'


def _as_widget(picture, alternative: str) -> ipywidgets.HTML:
    """Turn a PIL image or a matplotlib figure into a picture with a text for those who cannot see it."""
    content = io.BytesIO()
    if hasattr(picture, "savefig"):
        picture.savefig(content, format="png", dpi=90)
    else:
        picture.save(content, format="PNG")
    # ipywidgets.Image has no alternative text, so the picture travels inside HTML.
    source = base64.b64encode(content.getvalue()).decode()
    return ipywidgets.HTML(
        f'<img alt="{escape(alternative)}" src="data:image/png;base64,{source}" style="max-width: 30em">'
    )
