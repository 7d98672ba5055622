"""The settings of a long training, and its weights on disk."""

import dataclasses
import json

import numpy as np

from fer_utils.common.files import fingerprint, write_atomically
from fer_utils.common.labels import IMAGE_SIZE


@dataclasses.dataclass
class Plan:
    """The settings that every long run has.

    `steps` and `decay_from` are numbers of training steps (`decay_from` None stands for the last 40 %);
    `batch_size` images; `learning_rate` and `weight_decay` are AdamW's; `warmup` steps of rising rate; `dtype` is a
    Keras dtype policy.
    """

    steps: int = 5000
    decay_from: int | None = None
    seed: int = 1
    batch_size: int = 96
    learning_rate: float = 6e-4
    warmup: int = 200
    weight_decay: float = 0.01
    dtype: str = "float32"

    @property
    def falls_after(self):
        """The last training step before the learning rate falls."""
        return int(0.6 * self.steps) if self.decay_from is None else self.decay_from

    def rate_at(self, step):
        """Return the learning rate of training step `step`, counted from 1.

        A linear rise, a plateau, and a fall to 0 of the shape `1 - sqrt`, which ended lowest of the shapes compared
        by Hägele et al. 2024 (arXiv:2405.18392) and, unlike a cosine, may begin at any moment.
        """
        start = self.falls_after
        rate = self.learning_rate * min(1.0, step / self.warmup)
        if step > start:
            rate *= 1.0 - min(1.0, (step - start) / max(1, self.steps - start)) ** 0.5
        return rate


@dataclasses.dataclass
class FacePlan(Plan):
    """The settings of a network that names expressions.

    `window` is the height and width in pixels of the middle of the face that it is shown until the learning rate begins
    to fall; then it sees whole faces. Faces look larger in a window, and a network that meets them smaller afterwards
    gains (Touvron et al. 2019, "Fixing the train-test resolution discrepancy", arXiv:1906.06423); a third of the
    operations is saved as well. `validation_split` is the part of Training that is not learned from; `trust` the share
    of another network's answers in the targets; `distortion` holds what differs from the defaults of
    `model.augment.Distortion`.
    """

    batch_size: int = 128
    weight_decay: float = 0.05
    seed: int = 0
    window: int = 40
    validation_split: float = 0.05
    trust: float = 0.0
    distortion: dict = dataclasses.field(default_factory=dict)

    def size_at(self, step):
        """Return the height and width in pixels of what the network is shown in training step `step`."""
        return IMAGE_SIZE if step > self.falls_after else self.window


def save_weights(path, weights, plan):
    """Write `weights`, a list of arrays, as float16 together with the plan; return the file's SHA-256 as text."""
    arrays = {f"{index:04d}": np.asarray(weight, "float16") for index, weight in enumerate(weights)}
    description = np.frombuffer(json.dumps(dataclasses.asdict(plan)).encode(), "uint8")
    write_atomically(path, lambda file: np.savez_compressed(file, plan=description, **arrays))
    return fingerprint(path)


def load_weights(path, kind):
    """Read what `save_weights` wrote: the plan, of class `kind`, and the list of float32 arrays.

    Raises `ValueError` with one line if the file is not such a file.
    """
    try:
        with np.load(path) as stored:
            settings = json.loads(stored["plan"].tobytes())
            # Of an option that is gone: files from before name it.
            settings.pop("repeats", None)
            plan = kind(**settings)
            names = sorted(name for name in stored.files if name != "plan")
            return plan, [stored[name].astype("float32") for name in names]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold the weights of such a run: {error}") from error
