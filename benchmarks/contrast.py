"""What faces with little contrast cost: `python -m benchmarks.contrast --data archive.zip` renews docs/detector.md.

Pictures of FER-2013's PublicTest are faded, towards grey as fog does or towards black as a dim room does, and shown to
the shipped model as they are and as the detector shows them. The limits of `with_contrast` come from Training alone.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.scaling import put_between_marks
from fer_utils import EMOTIONS
from fer_utils.common.intervals import wilson_interval
from fer_utils.dataset import load_dataset
from fer_utils.detector.crops import CONTRAST, with_contrast
from fer_utils.detector.shipped import ShippedModel

PAGE = Path(__file__).parents[1] / "docs" / "detector.md"
BEGIN = "<!-- contrast: begin, written by `python -m benchmarks.contrast` -->"
END = "<!-- contrast: end -->"
CONTRASTS = (1.0, 0.5, 0.2, 0.12)


def faded(images: np.ndarray, contrast: float, towards: int) -> np.ndarray:
    """Return uint8 (n, 48, 48): so much of the contrast is left around the value `towards`, 0..255."""
    return np.rint(towards + contrast * (images.astype(np.float32) - towards)).astype(np.uint8)


def row(name: str, images: np.ndarray, labels: np.ndarray, model: ShippedModel) -> str:
    """Return one line of the table: accuracy and the share called angry, before and after."""
    stretched = np.stack([with_contrast(image) for image in images])
    changed = (stretched != images).any(axis=(1, 2)).mean()
    cells = []
    for shown in (images, stretched):
        answers = model.predict(shown).argmax(axis=1)
        right = int((answers == labels).sum())
        low, high = wilson_interval(right, len(labels))
        angry = (answers == EMOTIONS.index("angry")).mean()
        cells.append(f"{right / len(labels):.1%} ({low:.1%} to {high:.1%}) | {angry:.1%}")
    return f"| {name} | {' | '.join(cells)} | {changed:.1%} |"


def measure(data: Path | None, n: int, seed: int) -> str:
    """Return the section of the page: what was measured, and the table."""
    dataset = load_dataset(data, progress=False)
    model = ShippedModel()
    low, high = np.percentile(dataset.subset("Training")[0].reshape(-1, 48 * 48), (1, 99), axis=1)
    below = (high - low < CONTRAST).mean()
    images, labels = dataset.subset("PublicTest")
    chosen = np.sort(np.random.default_rng(seed).choice(len(labels), min(n, len(labels)), replace=False))
    images, labels = np.array(images[chosen]), labels[chosen]
    rows = [row("1", images, labels, model)]
    for towards, name in ((128, "towards grey"), (0, "towards black")):
        rows += [row(f"{c:g}, {name}", faded(images, c, towards), labels, model) for c in CONTRASTS[1:]]
    return (
        f"{len(labels):,} pictures of {dataset.title}, PublicTest, drawn with seed {seed}; the shipped model. Of "
        f"Training's pictures {below:.2%} have less contrast than the limit of {CONTRAST}.\n\n"
        "| contrast | as it is: accuracy | called angry | stretched: accuracy | called angry | pictures changed |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(rows)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="FER-2013's archive.zip")
    parser.add_argument("-n", type=int, default=700, help="how many pictures")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    text = measure(arguments.data, arguments.n, arguments.seed)
    print(text)
    PAGE.write_text(put_between_marks(PAGE.read_text(encoding="utf-8"), text, BEGIN, END), encoding="utf-8")


if __name__ == "__main__":
    main()
