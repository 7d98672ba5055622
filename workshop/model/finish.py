"""What follows the training of the compact model: calibration, files, scores, and one record of it all."""

import dataclasses
import platform
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from fer_utils.common.labels import USAGES
from fer_utils.common.probabilities import mirror_averaged, negative_log_likelihood, with_temperature
from fer_utils.common.stored_weights import ONNX_FILE
from fer_utils.dataset import FerDataset
from fer_utils.detector.shipped import ShippedModel
from fer_utils.evaluation.calibration import calibration_error, fit_temperature_and_bias
from fer_utils.evaluation.scores import describe, score
from fer_utils.models.predict import predict
from fer_utils.records.run_record import record
from fer_utils.training.run_files import TrainedRun
from workshop.model.augment import Distortion
from workshop.model.export import calibrated_weights, folded_weights, save_compact
from workshop.model.train import LABEL_SMOOTHING, NORM_MOMENTUM, Plan, Run

# What a record repeats of a plan as it is.
RECORDED = (
    "seed",
    "steps",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "dtype",
    "window",
    "validation_split",
    "start",
    "teacher",
    "trust",
    "on_device",
    "views",
)


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


@dataclasses.dataclass(frozen=True)
class Finished:
    """A network whose training is over, with what is needed to calibrate, score and record it.

    Attributes:
        network: `compact_cnn` without normalisation; its answers are not calibrated yet.
        training: images uint8 (n, 48, 48) that were learned from, and their labels (n,).
        validation: images and labels that were held out.
        about: settings and provenance for the files; `publish` adds the calibration and the data.
        settings: what shaped it, for the record; `publish` adds the calibration.
        run: what the record says of the training; its folder takes the record.
    """

    network: object
    training: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    about: dict
    settings: dict
    run: TrainedRun


def finish(run: Run, dataset: FerDataset, out: str | Path) -> list[str]:
    """Calibrate a trained run, write its files, score it once on the test parts and record it.

    Args:
        run: a finished run.
        dataset: what it was trained on; its test parts are scored, those that there are.
        out: folder for compact.npz and compact.onnx.

    Returns:
        Lines that say what was scored and written.
    """
    keras.config.set_dtype_policy("float32")
    plan = run.plan
    trained, plain = plan.network(), plan.network(normalisation=False)
    trained.set_weights(run.average.weights)
    plain.set_weights(folded_weights(trained, plain))
    about = {
        "network": plan.sizes,
        "seed": plan.seed,
        "split_seed": plan.seed if plan.split_seed is None else plan.split_seed,
        "validation_split": plan.validation_split,
        "start": plan.start,
        "steps": plan.steps,
    }
    settings = {name: getattr(plan, name) for name in RECORDED} | {
        "decay_from": plan.falls_after,
        "label_smoothing": LABEL_SMOOTHING,
        "norm_momentum": NORM_MOMENTUM,
        "distortion": dataclasses.asdict(Distortion(**plan.distortion)),
    }
    history = pd.read_csv(run.folder / "log.csv")
    history.index = pd.RangeIndex(1, len(history) + 1, name="measurement")
    whole = _WholeRun(plain, history, run.folder, plan, len(run.labels))
    return publish(Finished(plain, (run.images, run.labels), run.validation, about, settings, whole), dataset, out)


def publish(finished: Finished, dataset: FerDataset, out: str | Path) -> list[str]:
    """Calibrate a network, write its files, score it once on the test parts and record it.

    Args:
        finished: the network; its last layer is calibrated.
        dataset: what it was trained on; its test parts are scored, those that there are.
        out: folder for compact.npz and compact.onnx.

    Returns:
        Lines that say what was scored and written.
    """
    network, parts = finished.network, {"validation": finished.validation}
    parts |= {usage: dataset.subset(usage) for usage in USAGES[1:] if (dataset.usage == usage).any()}
    raw = {name: _mirrored(network, images) for name, (images, _) in parts.items()}
    temperature, bias = fit_temperature_and_bias(finished.validation[1], raw["validation"])
    network.set_weights(calibrated_weights(network.get_weights(), temperature, bias))
    about = finished.about | {
        "temperature": round(temperature, 4),
        "bias": [round(each, 4) for each in bias.tolist()],
        "trained_on": "FER-2013 Training" if not dataset.is_sample else "the embedded sample of generated faces",
        "n_training": len(finished.training[1]),
        "data_fingerprint": dataset.fingerprint,
        "labels": "angry disgust fear happy sad surprise neutral",
        "not_for": "inferring what people feel; see the model card",
    }
    files = save_compact(out, network, about)
    model = ShippedModel(Path(out) / ONNX_FILE)
    parts = {"training": finished.training, **parts}
    predictions = {name: model.predict(images) for name, (images, _) in parts.items()}
    scores = [score(labels, predictions[name], name) for name, (_, labels) in parts.items()]
    calibration = {name: _calibration(parts[name][1], before, temperature, bias) for name, before in raw.items()}
    settings = {"temperature": temperature, "bias": bias.tolist(), "calibration": calibration, **about["network"]}
    record(
        title="Compact CNN (shipped)",
        run=finished.run,
        dataset=dataset,
        scores=scores,
        settings=finished.settings | {"processor": platform.processor() or platform.machine()} | settings,
        predictions={name: np.asarray(p, np.float32) for name, p in predictions.items()},
    )
    least, most = bias.min(), bias.max()
    told = [
        f"{name}: expected calibration error {values['ece_before']:.3f} before, {values['ece_after']:.3f} after "
        f"dividing the logits by {temperature:.3f} and adding {least:+.2f} to {most:+.2f}"
        for name, values in calibration.items()
    ]
    sizes = [f"{path.name}: {path.stat().st_size / 1e6:.2f} MB" for path in files]
    return [describe(result) for result in scores] + told + sizes


def _calibration(labels: np.ndarray, before: np.ndarray, temperature: float, bias: np.ndarray) -> dict[str, float]:
    """Return calibration error and negative log-likelihood of probabilities (n, 7), before and after calibration."""
    return {
        f"{measure}_{moment}": function(labels, probabilities)
        for moment, probabilities in (("before", before), ("after", with_temperature(before, temperature, bias)))
        for measure, function in (("ece", calibration_error), ("nll", negative_log_likelihood))
    }


def _mirrored(model, images: np.ndarray) -> np.ndarray:
    """Return probabilities float32 (n, 7) of a keras.Model, each face averaged with its mirror image."""
    return mirror_averaged(*(predict(model, view) for view in (images, images[:, :, ::-1])))
