"""The figures in docs/backbones.md, made from the records and from what is known of the files that ship."""

from pathlib import Path

from fer_utils.common.paths import project_root
from fer_utils.common.stored_weights import assets
from fer_utils.evaluation.scores import macro_f1_range
from fer_utils.models.face_weights import about_faces, weights_file
from fer_utils.records.documents import write_between_marks
from fer_utils.records.keep import load_recorded
from fer_utils.records.wording import taught_by_shipped

MODELS = {"VGG16": "vgg16", "ResNet50V2": "resnet50v2"}


def figures() -> str:
    """Return one table of scores, one row a network and part, as Markdown."""
    lines = [
        "| network | part | n | accuracy (95 % interval) | macro-F1 (95 % interval) | as it ships, six bits |",
        "|---|---|---|---|---|---|",
    ]
    for architecture, model in MODELS.items():
        about = about_faces(architecture)
        for part, score in trained_record(model)["scores"].items():
            low, high = score["accuracy_ci95"]
            least, most = macro_f1_range(score)
            packed = f"{about['scores'][part]['accuracy']:.1%}" if part in about["scores"] else ""
            lines.append(
                f"| {architecture} | {part} | {score['n']:,} | {score['accuracy']:.1%} ({low:.1%}–{high:.1%}) | "
                f"{score['macro_f1']:.3f} ({least:.3f}–{most:.3f}) | {packed} |"
            )
    sizes = {name: (assets() / weights_file(name)).stat().st_size / 1e6 for name in MODELS}
    told = " and ".join(f"{size:.1f} MB ({name})" for name, size in sizes.items())
    return "\n".join([*lines, "", f"The files take {told}, {sum(sizes.values()):.1f} MB together."])


def trained_record(model: str) -> dict:
    """Return the recorded run that left the weights of a backbone; `model` is "vgg16" or "resnet50v2"."""
    (taught,) = (each for each in load_recorded() if each["model"] == model and taught_by_shipped(each))
    return taught


def write_card(card: Path | None = None) -> bool:
    """Put the figures between the marks of docs/backbones.md; return whether anything changed."""
    return write_between_marks(card or project_root() / "docs" / "backbones.md", figures())
