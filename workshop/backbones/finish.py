"""From a finished run to a record of its scores and to the file that ships."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers

from fer_utils.common.files import fingerprint, write_atomically
from fer_utils.common.labels import IMAGE_SIZE
from fer_utils.common.stored_weights import SCALE, assets
from fer_utils.dataset import FerDataset
from fer_utils.evaluation.scores import describe
from fer_utils.models.custom_cnn import INPUT_SHAPE, softmax_output
from fer_utils.models.face_weights import ABOUT_FILE, load_faces, weights_file
from fer_utils.models.transfer import as_backbone_input
from fer_utils.records.run_record import record
from fer_utils.training.judge import Judged, judge
from fer_utils.training.run_files import TrainedRun
from workshop.backbones.networks import DROPOUT, NORM_MOMENTUM, plain_backbone
from workshop.backbones.train import Run
from workshop.model.quantisation import quantised
from workshop.model.train import LABEL_SMOOTHING

# Whole number that stands for the largest weight of a channel: six bits with the sign.
LARGEST = 31

# What the runs of the two networks are called in records.
NAMES = {"VGG16": "05_vgg16", "ResNet50V2": "06_resnet50v2"}


@dataclass(frozen=True)
class _WholeRun(TrainedRun):
    """A run whose averaged last weights are used, whatever the validation accuracy on the way."""

    @property
    def best_epoch(self) -> int:
        return self.epochs


def as_classifier(architecture: str, backbone, head: list[np.ndarray]):
    """Return backbone, pooling and seven probabilities as one keras.Model, (n, 48, 48, 1) in 0..255 → float32 (n, 7).

    Args:
        architecture: "VGG16" or "ResNet50V2".
        backbone: of `keras.applications`, without its top.
        head: kernel and bias of the last layer.
    """
    inputs = keras.Input(INPUT_SHAPE, name="image")
    x = backbone(as_backbone_input(inputs, architecture, IMAGE_SIZE), training=False)
    model = keras.Model(inputs, softmax_output(layers.GlobalAveragePooling2D(name="average")(x)), name="faces")
    model.get_layer("probabilities").set_weights(head)
    return model


def finish(run: Run, dataset: FerDataset, out: str | Path | None = None) -> list[str]:
    """Score a finished run, record it and write the file that ships.

    Args:
        run: a finished run.
        dataset: what it was trained on; its test parts are scored.
        out: where the weights and `backbones.json` go; by default the package's assets.

    Returns:
        Lines that say what was scored and written.
    """
    plan, out = run.plan, Path(out or assets())
    out.mkdir(parents=True, exist_ok=True)
    run.averaged.set_weights(run.average.weights)
    head = run.averaged.get_layer("probabilities").get_weights()
    model = as_classifier(plan.architecture, plain_backbone(plan.architecture, run.averaged), head)
    parts = {"training": (run.images, run.labels), "validation": run.validation, **dataset.test_parts()}
    judged = judge(model, parts)
    _record(run, model, dataset, judged)
    size = write_faces(plan.architecture, model.get_layer(plan.architecture.lower()), _about(run, dataset), out)
    backbone = plain_backbone(plan.architecture, run.averaged)
    load_faces(backbone, plan.architecture, out)
    again = judge(as_classifier(plan.architecture, backbone, head), {k: v for k, v in parts.items() if k != "training"})
    known = json.loads((out / ABOUT_FILE).read_text(encoding="utf-8"))
    known[plan.architecture]["scores"] = {
        name: {"n": score["n"], "accuracy": score["accuracy"], "accuracy_ci95": score["accuracy_ci95"]}
        for name, score in again.scores.items()
    }
    _write_json(out / ABOUT_FILE, known)
    packed = [f"as it ships, {describe(score)}" for score in again.scores.values()]
    return [str(judged), *packed, f"{weights_file(plan.architecture)}: {size / 1e6:.1f} MB"]


def write_faces(architecture: str, backbone, about: dict, out: Path) -> int:
    """Write a backbone's weights and what is known of them; `fer_utils.models.face_weights` reads both.

    Args:
        architecture: "VGG16" or "ResNet50V2".
        backbone: of `keras.applications`, without its top.
        about: what stands in `backbones.json` beside the checksum.
        out: the folder.

    Returns:
        The size of the weights' file in bytes.
    """
    arrays = {}
    for layer in backbone.layers:
        for position, weight in enumerate(layer.get_weights()):
            name = f"{layer.name}/{position}"
            if weight.ndim == 4:
                arrays[name], arrays[name + SCALE] = quantised(weight, LARGEST)
            else:
                arrays[name] = weight.astype(np.float16)
    path = out / weights_file(architecture)
    # Few different numbers: the compression of the file itself brings them close to five bits each.
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))
    known = json.loads((out / ABOUT_FILE).read_text(encoding="utf-8")) if (out / ABOUT_FILE).is_file() else {}
    known[architecture] = {"sha256": fingerprint(path), **about}
    _write_json(out / ABOUT_FILE, known)
    return path.stat().st_size


def _about(run: Run, dataset: FerDataset) -> dict:
    return {
        "trained_on": "FER-2013 Training",
        "n_training": len(run.labels),
        "n_validation": len(run.validation[1]),
        "data_fingerprint": dataset.fingerprint,
        "image_size": IMAGE_SIZE,
        "seed": run.plan.seed,
        "steps": run.plan.steps,
    }


def _record(run: Run, model, dataset: FerDataset, judged: Judged) -> None:
    plan = run.plan
    history = pd.read_csv(run.folder / "log.csv").drop(columns=["step", "learning_rate"])
    history.index = pd.RangeIndex(1, len(history) + 1, name="epoch")
    folder = run.folder / NAMES[plan.architecture]
    folder.mkdir(exist_ok=True)
    settings = asdict(plan) | {
        "image_size": IMAGE_SIZE,
        "frozen": False,
        "optimizer": "adam",
        "teacher": "shipped",
        "dropout": DROPOUT,
        "label_smoothing": LABEL_SMOOTHING,
        "norm_momentum": NORM_MOMENTUM,
        "window_until_step": plan.falls_after,
    }
    record(
        title=f"{plan.architecture} (random weights, every layer trained, {IMAGE_SIZE} px)",
        run=_WholeRun(model, history, folder),
        dataset=dataset,
        scores=list(judged.scores.values()),
        settings=settings,
        weights="random",
        predictions=judged.probabilities,
    )


def _write_json(path: Path, content: dict) -> None:
    text = json.dumps(content, indent=1) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
