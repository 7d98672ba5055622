"""What follows the training of the compact model: temperature, files, scores, and one record of it all."""

import dataclasses
import platform
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from fer_utils.calibration import fit_temperature, mirror_averaged, negative_log_likelihood, with_temperature
from fer_utils.compact.augment import Distortion
from fer_utils.compact.export import divide_logits, folded_weights, save_compact
from fer_utils.compact.shipped import ONNX_FILE, ShippedModel
from fer_utils.compact.train import LABEL_SMOOTHING, NORM_MOMENTUM, Plan, Run
from fer_utils.dataset import FerDataset
from fer_utils.evaluation import calibration_error, describe, predict, score
from fer_utils.labels import USAGES
from fer_utils.results import record
from fer_utils.training import TrainedRun


@dataclasses.dataclass(frozen=True)
class _WholeRun(TrainedRun):
    """A run whose averaged last weights are used, whatever the validation accuracy on the way.

    A row of its history may stand for several epochs, or for the rest of one.
    """

    plan: Plan
    n_training: int

    @property
    def epochs(self) -> int:
        return max(1, round(self.plan.steps * self.plan.batch_size / self.n_training))

    @property
    def best_epoch(self) -> int:
        return self.epochs


def finish(run: Run, dataset: FerDataset, out: str | Path) -> list[str]:
    """Calibrate a trained run on its validation part, write its files, score it once on the test parts and record it.

    Args:
        run: a finished run.
        dataset: what it was trained on; its test parts are scored, those that there are.
        out: folder for compact.npz and compact.onnx.

    Returns:
        Lines that say what was scored and written.
    """
    keras.config.set_dtype_policy("float32")
    trained, plain = run.plan.network(), run.plan.network(normalisation=False)
    trained.set_weights(run.average.weights)
    weights = folded_weights(trained, plain)
    images, labels = run.validation
    raw = _mirrored(trained, images)
    temperature = fit_temperature(labels, raw)
    plain.set_weights(divide_logits(weights, temperature))
    plan = run.plan
    about = {
        "network": {"stem": plan.stem, "widths": list(plan.widths), "blocks": plan.blocks, "dropout": plan.dropout},
        "temperature": round(temperature, 4),
        "seed": plan.seed,
        "split_seed": plan.seed if plan.split_seed is None else plan.split_seed,
        "validation_split": plan.validation_split,
        "start": plan.start,
        "steps": plan.steps,
        "trained_on": "FER-2013 Training" if not dataset.is_sample else "the embedded sample of generated faces",
        "n_training": len(run.labels),
        "data_fingerprint": dataset.fingerprint,
        "labels": "angry disgust fear happy sad surprise neutral",
        "not_for": "inferring what people feel; see the model card",
    }
    files = save_compact(out, plain, about)
    model = ShippedModel(Path(out) / ONNX_FILE)
    parts = {"training": (run.images, run.labels), "validation": run.validation}
    parts |= {usage: dataset.subset(usage) for usage in USAGES[1:] if (dataset.usage == usage).any()}
    predictions = {name: model.predict(part[0]) for name, part in parts.items()}
    scores = [score(part[1], predictions[name], name) for name, part in parts.items()]
    calibration = {}
    for name, part in list(parts.items())[1:]:
        before = raw if name == "validation" else _mirrored(trained, part[0])
        calibration[name] = {
            f"{measure}_{moment}": function(part[1], probabilities)
            for moment, probabilities in (("before", before), ("after", with_temperature(before, temperature)))
            for measure, function in (("ece", calibration_error), ("nll", negative_log_likelihood))
        }
    history = pd.read_csv(run.folder / "log.csv")
    history.index = pd.RangeIndex(1, len(history) + 1, name="measurement")
    settings = {
        "seed": plan.seed, "steps": plan.steps, "batch_size": plan.batch_size, "learning_rate": plan.learning_rate,
        "decay_from": plan.whole_from - 1, "weight_decay": plan.weight_decay, "dtype": plan.dtype,
        "window": plan.window, "validation_split": plan.validation_split, "label_smoothing": LABEL_SMOOTHING,
        "norm_momentum": NORM_MOMENTUM, "start": plan.start, "teacher": plan.teacher, "trust": plan.trust,
        "on_device": plan.on_device, "views": plan.views,
        "distortion": dataclasses.asdict(Distortion(**plan.distortion)),
        "temperature": temperature, "calibration": calibration,
        "processor": platform.processor() or platform.machine(), **about["network"],
    }  # fmt: skip
    record(
        title="Compact CNN (shipped)", run=_WholeRun(plain, history, run.folder, plan, len(run.labels)),
        dataset=dataset, scores=scores, settings=settings,
        predictions={name: np.asarray(p, np.float32) for name, p in predictions.items()},
    )  # fmt: skip
    lines = [describe(result) for result in scores]
    for name, values in calibration.items():
        lines.append(
            f"{name}: expected calibration error {values['ece_before']:.3f} before, {values['ece_after']:.3f} after "
            f"dividing the logits by {temperature:.3f}"
        )
    lines += [f"{path.name}: {path.stat().st_size / 1e6:.2f} MB" for path in files]
    return lines


def _mirrored(model, images: np.ndarray) -> np.ndarray:
    """Return probabilities float32 (n, 7) of a keras.Model, each face averaged with its mirror image."""
    return mirror_averaged(*(predict(model, view) for view in (images, images[:, :, ::-1])))
