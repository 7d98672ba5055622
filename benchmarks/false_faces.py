"""How sure must a face be? `python -m benchmarks.false_faces` writes the table of both errors into detectors.md.

Pictures without a face: photographs that scikit-image and scikit-learn carry, the same in three more directions, and
what is drawn here: watches, patterns, hands, plush toys. Faces: the portraits and group photos of
`benchmarks.detectors`.
"""

from pathlib import Path

import cv2
import numpy as np
from skimage import data

from benchmarks.detectors import Tally, judge, pictures_without_faces, scenes
from benchmarks.scaling import put_between_marks
from fer_utils.detector import faces

PAGE = Path(__file__).with_name("detectors.md")
BEGIN = "<!-- false faces: begin, written by `python -m benchmarks.false_faces` -->"
END = "<!-- false faces: end -->"
THRESHOLDS = (0.7, 0.85, 0.9, 0.95, 0.98, 0.99)


def watch(generator) -> np.ndarray:
    """Return a drawn wristwatch on cloth, uint8 (400, 400, 3)."""
    picture = _ground(generator)
    centre, radius = tuple(generator.integers(170, 230, 2).tolist()), int(generator.integers(70, 120))
    leather, face, ink = (generator.integers(low, high, 3).tolist() for low, high in ((20, 120), (150, 255), (0, 80)))
    cv2.rectangle(picture, (centre[0] - radius // 2, 0), (centre[0] + radius // 2, 400), leather, -1)
    cv2.circle(picture, centre, radius + 8, ink, -1, cv2.LINE_AA)
    cv2.circle(picture, centre, radius, face, -1, cv2.LINE_AA)
    for hour in range(12):
        along = np.array([np.sin(hour * np.pi / 6), -np.cos(hour * np.pi / 6)])
        ends = [tuple(np.rint(centre + part * radius * along).astype(int).tolist()) for part in (0.8, 0.95)]
        cv2.line(picture, *ends, ink, 4, cv2.LINE_AA)
    for x, y in ((-0.4, -0.2), (0.4, -0.2), (0, 0.45)):
        place = (int(centre[0] + x * radius), int(centre[1] + y * radius))
        cv2.circle(picture, place, radius // 5, ink, 3, cv2.LINE_AA)
    for length in (0.5, 0.8):
        angle = generator.uniform(0, 2 * np.pi)
        end = (int(centre[0] + length * radius * np.sin(angle)), int(centre[1] - length * radius * np.cos(angle)))
        cv2.line(picture, centre, end, ink, 5, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 1.2)


def plush(generator) -> np.ndarray:
    """Return a drawn toy bear, uint8 (400, 400, 3): ears, button eyes, a snout, no skin."""
    picture = _ground(generator)
    fur = generator.integers(60, 200, 3)
    x, y, size = (int(value) for value in (*generator.integers(170, 230, 2), generator.integers(80, 120)))
    for ear in (-1, 1):
        cv2.circle(picture, (x + ear * size * 3 // 4, y - size * 3 // 4), size // 3, fur.tolist(), -1, cv2.LINE_AA)
        cv2.circle(picture, (x + ear * size // 3, y - size // 5), size // 12, (15, 15, 15), -1, cv2.LINE_AA)
    head = np.zeros((400, 400), np.uint8)
    cv2.circle(head, (x, y), size, 255, -1)
    cv2.circle(head, (x - size // 3, y - size // 5), size // 12, 0, -1)
    cv2.circle(head, (x + size // 3, y - size // 5), size // 12, 0, -1)
    texture = np.clip(fur + generator.normal(0, 25, (400, 400, 1)), 0, 255).astype(np.uint8)
    picture = np.where(head[..., np.newaxis] > 0, texture, picture)
    cv2.ellipse(picture, (x, y + size // 3), (size // 2, size // 3), 0, 0, 360, (fur // 2 + 110).tolist(), -1)
    cv2.ellipse(picture, (x, y + size // 5), (size // 7, size // 10), 0, 0, 360, (20, 20, 20), -1)
    return cv2.GaussianBlur(np.ascontiguousarray(picture), (0, 0), 1.5)


def hand(generator) -> np.ndarray:
    """Return a drawn open hand, uint8 (400, 400, 3)."""
    picture = _ground(generator)
    skin = (np.array([220, 175, 145]) * generator.uniform(0.5, 1.05)).tolist()
    x, y = generator.integers(170, 230, 2).tolist()
    cv2.ellipse(picture, (x, y + 60), (70, 80), 0, 0, 360, skin, -1, cv2.LINE_AA)
    for i, length in enumerate((90, 140, 155, 140, 100)):
        angle = np.radians(-50 + 25 * i + generator.uniform(-6, 6))
        end = (int(x + length * np.sin(angle)), int(y + 40 - length * np.cos(angle)))
        cv2.line(picture, (x, y + 40), end, skin, 30, cv2.LINE_AA)
        cv2.circle(picture, end, 8, [min(255, value + 25) for value in skin], -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 2)


def pattern(generator) -> np.ndarray:
    """Return a pattern of dots, tiles or waves, uint8 (400, 400, 3)."""
    rows, columns = np.mgrid[:400, :400] / generator.uniform(5, 25)
    waves = [
        np.sin(rows) * np.sin(columns),
        np.sin(rows + 2 * np.sin(columns)),
        np.sign(np.sin(rows) * np.sin(columns)),
    ]
    tones = generator.integers(0, 256, (2, 3))
    share = (waves[generator.integers(3)][..., np.newaxis] + 1) / 2
    return np.clip(share * tones[0] + (1 - share) * tones[1] + generator.normal(0, 6, (400, 400, 1)), 0, 255).astype(
        "uint8"
    )


def _ground(generator) -> np.ndarray:
    tone = generator.integers(60, 220, 3) + generator.normal(0, 8, (400, 400, 1))
    return np.clip(tone, 0, 255).astype(np.uint8)


def without_faces() -> dict[str, list[np.ndarray]]:
    """Return pictures without a face by kind, the same each time."""
    generator = np.random.default_rng(0)
    found = {"photographs": pictures_without_faces()}
    found["photographs, turned"] = [
        np.ascontiguousarray(np.rot90(picture, k)) for picture in found["photographs"] for k in (1, 2, 3)
    ]
    portrait = data.astronaut()
    found["a portrait, turned"] = [np.ascontiguousarray(np.rot90(portrait, k)) for k in (1, 2, 3)]
    for draw in (watch, plush, hand, pattern):
        found[f"drawn: {draw.__name__}"] = [draw(generator) for _ in range(40)]
    return found


def measure() -> str:
    """Return the table: at each threshold, faces that are missed, and false ones by kind of picture."""
    finder, nothing = faces.FaceFinder(), without_faces()
    used, faces.ACCEPT = faces.ACCEPT, min(THRESHOLDS)
    try:
        with_faces = [(scene, finder(scene.picture)) for scene in scenes(None) if len(scene.faces)]
        scores = {kind: [[face.score for face in finder(p)] for p in pictures] for kind, pictures in nothing.items()}
    finally:
        faces.ACCEPT = used
    rows = []
    for threshold in THRESHOLDS:
        tally = Tally()
        for scene, found in with_faces:
            boxes = [(*f.box[:2], *(f.box[2:] - f.box[:2])) for f in found if f.score > threshold]
            judge(boxes, scene.faces, tally)
        false = [sum(score > threshold for each in found for score in each) for found in scores.values()]
        here = f"**{threshold}**, used" if threshold == used else str(threshold)
        missed = f"{tally.faces - tally.found} of {tally.faces}"
        rows.append(f"| {here} | {missed} | {tally.false} | {' | '.join(map(str, false))} |")
    kinds = " | ".join(f"{kind} ({len(pictures)})" for kind, pictures in nothing.items())
    return (
        "How sure the last network must be, and both errors: faces that are missed, and boxes where no face is, by "
        "kind of picture with the number of pictures. The photo is searched upright only.\n\n"
        f"| probability above | faces missed | false beside faces | {kinds} |\n"
        f"|---|---|---|{'---|' * len(nothing)}\n" + "\n".join(rows)
    )


def main() -> None:
    text = measure()
    print(text)
    PAGE.write_text(put_between_marks(PAGE.read_text(encoding="utf-8"), text, BEGIN, END), encoding="utf-8")


if __name__ == "__main__":
    main()
