"""The HTML of the form: photos, faces, bars."""

import base64
import io
from html import escape

import numpy as np
from PIL import Image

from fer_utils.common.labels import EMOTIONS
from fer_utils.detector.annotate import annotate
from fer_utils.detector.detector import Face
from fer_utils.detector.photos import Photo

SHOWN_SIDE = 900

STYLE = """<style>
.fer-result { color: var(--jp-ui-font-color1, #222); font-family: var(--jp-ui-font-family, sans-serif); }
.fer-result h3 { font-size: 1.05em; margin: 0.8em 0 0.4em; }
.fer-result .both { display: flex; flex-wrap: wrap; gap: 1em; align-items: flex-start; }
.fer-result .photo { max-width: min(100%, 34em); max-height: 34em; display: block; }
.fer-result .faces { display: flex; flex-wrap: wrap; gap: 1em; flex: 1 1 20em; }
.fer-result .face { border: 1px solid var(--jp-border-color2, #ccc); border-radius: 6px; padding: 0.7em; width: 19em; }
.fer-result .face .seen { display: flex; gap: 0.5em; margin-bottom: 0.5em; }
.fer-result .face .seen img { width: 5.5em; height: 5.5em; image-rendering: pixelated; }
.fer-result table { border-collapse: collapse; width: 100%; font-size: 0.95em; margin: 0; }
.fer-result caption { text-align: left; font-size: 1.05em; padding-bottom: 0.3em; color: inherit; }
.fer-result th, .fer-result td { text-align: left; padding: 1px 4px; font-weight: normal; background: none; border: 0; }
.fer-result tr.top th, .fer-result tr.top td { font-weight: bold; }
.fer-result td.bar { width: 55%; }
.fer-result td.bar span { display: block; height: 0.85em; min-width: 1px; background: #7f9db9; }
.fer-result tr.top td.bar span { background: #0b5cad; }
.fer-result td.percent { text-align: right; width: 3em; font-variant-numeric: tabular-nums; }
</style>"""

SPINNER = (
    '<svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true" style="vertical-align: -2px">'
    '<circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="26 12">'
    '<animateTransform attributeName="transform" type="rotate" from="0 8 8" to="360 8 8" dur="1s" '
    'repeatCount="indefinite"/></circle></svg> '
)


def photo_html(title: str, photo: Photo, faces: list[Face], heat) -> str:
    labels = ", ".join(f"{n} {face.label}" for n, face in enumerate(faces, start=1))
    count = f"{len(faces)} face{'s' * (len(faces) != 1)}" if faces else "no face found"
    alternative = f"{photo.name} with a box around each face: {labels or 'none'}"
    picture = _image(annotate(photo, faces, SHOWN_SIDE), alternative, "photo", "JPEG")
    cards = "".join(_face_html(n, face, h) for n, (face, h) in enumerate(zip(faces, heat, strict=True), start=1))
    title = f"<h3>{escape(title)}, {count}</h3>"
    return f'<section>{title}<div class="both">{picture}<div class="faces">{cards}</div></div></section>'


def _face_html(number: int, face: Face, heat) -> str:
    """Return a card: what the model saw, and the seven probabilities as bars and as numbers."""
    seen = _image(Image.fromarray(face.crop), f"face {number} as the model sees it: 48 by 48 grey pixels")
    if heat is not None:
        seen += _image(_heated(face.crop, heat), f"where the model looked in face {number}, bright where it mattered")
    top = int(face.probabilities.argmax())
    rows = "".join(
        f'<tr class="{"top" if i == top else "rest"}"><th scope="row">{emotion}</th>'
        f'<td class="bar"><span style="width: {100 * p:.1f}%"></span></td><td class="percent">{percent(p)}</td></tr>'
        for i, (emotion, p) in enumerate(zip(EMOTIONS, face.probabilities, strict=True))
    )
    doubt = ", unsure" if face.unsure else ""
    caption = f"<caption><b>{number} {face.label}</b>, {percent(face.confidence)}{doubt}</caption>"
    return f'<div class="face"><div class="seen">{seen}</div><table>{caption}<tbody>{rows}</tbody></table></div>'


def _heated(crop: np.ndarray, heat: np.ndarray) -> Image.Image:
    """Lay a heat map over a face: yellow where it mattered, darker and bluer where it did not."""
    weight = np.clip(heat, 0, 1)[..., np.newaxis]
    cold, warm = np.array([40, 50, 110.0]), np.array([255, 220, 40.0])
    colour = (1 - weight) * cold + weight * warm
    mixed = 0.55 * crop[..., np.newaxis] + 0.45 * colour
    return Image.fromarray(mixed.astype(np.uint8))


def _image(picture: Image.Image, alternative: str, css: str = "", kind: str = "PNG") -> str:
    content = io.BytesIO()
    picture.save(content, kind, quality=90)
    source = base64.b64encode(content.getvalue()).decode()
    text = escape(alternative, quote=True)
    return f'<img class="{css}" alt="{text}" src="data:image/{kind.lower()};base64,{source}">'


def percent(share: float) -> str:
    return f"{share:.0%}"


def unforeseen(error: Exception, where: str = "") -> str:
    return f"Something went wrong{escape(where)} ({escape(type(error).__name__)}: {escape(str(error)[:300])})."


def sentence(text) -> str:
    text = str(text)
    return f"{escape(text[:1].upper() + text[1:])}."
