"""The settings of a long training, and its weights on disk."""

import dataclasses
import json

import numpy as np

from fer_utils.common.files import fingerprint, write_atomically


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

    def rate_at(self, step):
        """Return the learning rate of training step `step`, counted from 1.

        A linear rise, a plateau, and a fall to 0 of the shape `1 - sqrt`, which ended lowest of the shapes compared
        by Hägele et al. 2024 (arXiv:2405.18392) and, unlike a cosine, may begin at any moment.
        """
        start = int(0.6 * self.steps) if self.decay_from is None else self.decay_from
        rate = self.learning_rate * min(1.0, step / self.warmup)
        if step > start:
            rate *= 1.0 - min(1.0, (step - start) / max(1, self.steps - start)) ** 0.5
        return rate


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
            plan = kind(**json.loads(stored["plan"].tobytes()))
            names = sorted(name for name in stored.files if name != "plan")
            return plan, [stored[name].astype("float32") for name in names]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold the weights of such a run: {error}") from error
