"""The settings and the calibration of an earlier run, for training once more on all of `Training`.

Choices need pictures that are held out. Once they are made, those pictures can be learned from as well, with the
settings that were chosen. Then nothing is left to calibrate on, so the earlier run's calibration is taken over.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS

# What a plan takes from a record. Precision and device are those of the machine that trains now.
TAKEN_OVER = (
    "seed",
    "steps",
    "decay_from",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "window",
    "stem",
    "widths",
    "blocks",
    "dropout",
    "members",
    "distortion",
    "start",
    "teacher",
    "trust",
)

# The first records lack some settings, which then had a plan's own value; these every record of the model has.
ALWAYS_RECORDED = ("seed", "steps", "decay_from", "batch_size", "learning_rate", "window", "widths", "temperature")


class EarlierRun:
    """A run of the compact model that is repeated on all of `Training`.

    Args:
        where: a record in results/, a metrics.json, or the folder of a run that holds one.

    Raises:
        UserError: if there is no such record, or it cannot be repeated: it is of another model or of an ensemble, held
            nothing out itself, or was taught by a network that it does not name.
    """

    def __init__(self, where: str | Path):
        path = Path(where)
        self.path = path / "metrics.json" if path.is_dir() else path
        self.record = _read(self.path)
        self._recorded = self.record["settings"]

    @property
    def seed(self) -> int:
        """The seed of the earlier run, and of its repetition."""
        return self._recorded["seed"]

    @property
    def held_out(self) -> float:
        """The share of `Training` that the earlier run held out."""
        return self._recorded.get("validation_split", 0.05)

    @property
    def calibration(self) -> tuple[float, np.ndarray]:
        """The temperature, and what is added to the logits, float64 (7,), as fitted on the earlier validation part."""
        bias = self._recorded.get("bias") or np.zeros(len(EMOTIONS))
        return self._recorded["temperature"], np.asarray(bias, np.float64)

    @property
    def settings(self) -> dict:
        """What a `train.Plan` takes from the earlier run; nothing is held out."""
        settings = {name: self._recorded[name] for name in TAKEN_OVER if self._recorded.get(name) is not None}
        settings["widths"] = tuple(settings["widths"])
        return settings | {"validation_split": 0.0, "repeats": self.fingerprint}

    @property
    def told(self) -> dict:
        """What the repetition's record says of the earlier run."""
        score = self.record["scores"]["validation"]
        return {"seed": self.seed, "validation_accuracy": score["accuracy"], "validation_n": score["n"]}

    @property
    def fingerprint(self) -> str:
        """SHA-256, 64 hexadecimal digits, over what is taken over.

        Not over the file, so that a repetition goes on when the record was copied into results/ or written anew.
        """
        settings = {name: self._recorded.get(name) for name in TAKEN_OVER}
        temperature, bias = self.calibration
        content = json.dumps([settings, temperature, bias.tolist(), self.told], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def check_models(self, start, teachers) -> None:
        """Compare what the repetition begins with, and what teaches it, with the earlier run's.

        Args:
            start: the `start.Start` that is given, or None.
            teachers: the `train.Teacher`s or `start.FinishedTeacher`s that are given, in any order.

        Raises:
            UserError: if a model is missing, is another one, or was not there in the earlier run.
        """
        for option, given in (("start", [start] if start else []), ("teacher", teachers)):
            names = self._recorded.get(option)
            wanted = sorted(names.split("+")) if names else []
            if sorted(model.fingerprint for model in given) == wanted:
                continue
            if not wanted:
                raise UserError(f"the run that is repeated had no --{option}: leave it out")
            short = " and ".join(f"{name[:12]}…" for name in wanted)
            raise UserError(f"the run that is repeated had --{option} of SHA-256 {short}: give the same")

    def check_data(self, counts) -> None:
        """Compare the pictures of `Training` with the earlier run's.

        Args:
            counts: `FerDataset.counts()` of what is trained on.

        Raises:
            UserError: if there are more or fewer of an expression: settings and calibration are those of other data.
        """
        if counts.loc["Training"].to_dict() != self.record["data"]["counts"]["Training"]:
            raise UserError("the run that is repeated was trained on other pictures: name the same with --data")

    def announcement(self, n: int) -> str:
        """Return a line that says, before training, what is repeated on how many pictures."""
        told = self.told
        return (
            f"Nothing is held out: all {n:,} pictures of Training are learned from, with the settings of seed "
            f"{self.seed} (validation accuracy {told['validation_accuracy']:.1%}, n = {told['validation_n']:,})."
        )

    def origin_of_calibration(self) -> str:
        """Return a line that says, after training, where temperature and bias come from."""
        return (
            f"Nothing was held out: temperature and bias are those that the earlier run of seed {self.seed} found on "
            f"its validation part, n = {self.told['validation_n']:,}."
        )


def _read(path: Path) -> dict:
    """Return the record in a file, if it can be repeated."""
    if not path.is_file():
        raise UserError(f"no such record: {path}; name a file of results/, or the folder of a finished run")
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8")))
        settings, held = dict(record["settings"]), record["scores"].get("validation")
        record["data"]["counts"]["Training"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is not the record of a run ({error}): name another --repeat") from error
    if "trained" in settings:
        raise UserError(f"{path} is of an ensemble: repeat each of its members, and join them anew")
    if any(name not in settings for name in ALWAYS_RECORDED):
        raise UserError(f"{path} is not of the compact model: name a run of 'python -m workshop.model compact'")
    if not settings.get("validation_split", 0.05) or not held:
        raise UserError(f"{path} is of a run that held nothing out itself: name the run that it repeated")
    if settings.get("trust") and not (settings.get("start") or settings.get("teacher")):
        raise UserError(f"{path} does not say which network taught the run: name another --repeat")
    return record
