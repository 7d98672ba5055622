"""Training the face generator: a loop that can be stopped at any time and goes on where it was.

A run lives in a folder of its own:

- `plan.json`: the settings. `steps` and `decay_from` may be edited while the run is going on; they are read again at
  every checkpoint, so a run can be shortened and still end with a falling learning rate.
- `checkpoint.npz`: weights, averaged weights, optimizer state and step; replaced atomically.
- `weights.npz`: the averaged weights alone, in float16, which is all that drawing needs.
- `log.csv`: step, learning rate, loss averaged since the line before, seconds since the start of this process.
"""

import dataclasses
import hashlib
import json
import os
import time
from pathlib import Path

import keras
import numpy as np
from tqdm.auto import tqdm

from fer_utils.sample.flow import PowerAverage, class_balanced_probabilities, training_batch
from fer_utils.sample.network import WIDTHS, build_network


@dataclasses.dataclass
class Plan:
    """The settings of a run.

    `steps` and `decay_from` are numbers of training steps (`decay_from` None stands for the last 40 %);
    `batch_size` images; `learning_rate` and `weight_decay` are AdamW's; `dtype` is a Keras dtype policy;
    `widths`, `blocks`, `condition_size` and `image_size` describe the network.
    """

    steps: int = 5000
    decay_from: int | None = None
    seed: int = 1
    batch_size: int = 96
    learning_rate: float = 6e-4
    warmup: int = 200
    weight_decay: float = 0.01
    dtype: str = "float32"
    widths: tuple = WIDTHS
    blocks: int = 2
    condition_size: int = 128
    image_size: int = 48

    def network(self, dtype=None):
        """Build the network that this plan describes; `dtype` overrides the plan's own."""
        return build_network(tuple(self.widths), self.blocks, self.condition_size, self.image_size, dtype or self.dtype)

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


def usable_images(images):
    """Return the positions, `int64`, of the images to train on: not blank, and only the first of identical ones.

    `images` is `uint8 (n, 48, 48)`. An image seen three times as often is an image learned by heart.
    """
    flat = np.ascontiguousarray(images.reshape(len(images), -1))
    first = np.sort(np.unique(flat.view(f"V{flat.shape[1]}").ravel(), return_index=True)[1])
    return first[flat[first].std(axis=1) > 5.0]


def write_atomically(path, write):
    """Let `write(file)` fill a new binary file that takes the place of `path` only when it is complete."""
    path = Path(path)
    beside = path.with_name(path.name + ".part")
    with open(beside, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def save_weights(path, weights, plan):
    """Write `weights`, a list of arrays, as float16 together with the plan; return the file's SHA-256 as text."""
    arrays = {f"{index:04d}": np.asarray(weight, "float16") for index, weight in enumerate(weights)}
    description = np.frombuffer(json.dumps(dataclasses.asdict(plan)).encode(), "uint8")
    write_atomically(path, lambda file: np.savez_compressed(file, plan=description, **arrays))
    return fingerprint(path)


def fingerprint(path):
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def load_weights(path):
    """Read what `save_weights` wrote: the plan and the list of float32 arrays.

    Raises `ValueError` with one line if the file is not such a file.
    """
    try:
        with np.load(path) as stored:
            plan = Plan(**json.loads(stored["plan"].tobytes()))
            names = sorted(name for name in stored.files if name != "plan")
            return plan, [stored[name].astype("float32") for name in names]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold weights of the face generator: {error}") from error


class Run:
    """A training run in a folder: created if the folder holds no checkpoint, otherwise taken up where it stopped.

    Args:
        folder: the run's folder; created if missing.
        images: FER-2013's `Training` part, uint8 (n, 48, 48); blank and repeated images are left out here.
        labels: integers (n,) in 0..6.
        plan: the settings of a new run; for an existing run its `steps` and `decay_from` replace the stored ones.

    Raises:
        ValueError: if the folder holds a run with other settings.
    """

    def __init__(self, folder, images, labels, plan):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        keep = usable_images(images)
        self.images, self.labels = images[keep], np.asarray(labels)[keep]
        self.probabilities = class_balanced_probabilities(self.labels)
        self.plan = plan
        self.step = 0
        self._check_plan()
        keras.utils.set_random_seed(plan.seed)
        self.model = plan.network()
        # XLA multiplies the time of a step by five on a CPU, so compilation is left to the backend's plain graph.
        self.model.compile(
            optimizer=keras.optimizers.AdamW(
                plan.learning_rate, weight_decay=plan.weight_decay, beta_2=0.99, global_clipnorm=1.0
            ),
            loss="mean_squared_error",
            jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
        )
        self.model.optimizer.build(self.model.trainable_variables)
        self.average = PowerAverage(self.model.get_weights())
        if (self.folder / "checkpoint.npz").exists():
            self._restore()
        self._write_plan()

    def _check_plan(self):
        path = self.folder / "plan.json"
        if not path.exists():
            return
        stored = json.loads(path.read_text())
        for name, value in json.loads(json.dumps(dataclasses.asdict(self.plan))).items():
            if name not in ("steps", "decay_from") and stored[name] != value:
                raise ValueError(f"the run in {self.folder} was started with {name}={stored[name]}, not {value}")

    def _write_plan(self):
        text = json.dumps(dataclasses.asdict(self.plan), indent=1) + "\n"
        write_atomically(self.folder / "plan.json", lambda file: file.write(text.encode()))

    def _read_plan(self):
        stored = json.loads((self.folder / "plan.json").read_text())
        self.plan.steps, self.plan.decay_from = stored["steps"], stored["decay_from"]

    def _restore(self):
        with np.load(self.folder / "checkpoint.npz") as stored:
            self.step = int(stored["step"])
            count = len(self.average.weights)
            self.model.set_weights([stored[f"weight{index:04d}"] for index in range(count)])
            self.average.weights = [stored[f"average{index:04d}"] for index in range(count)]
            for index, variable in enumerate(self.model.optimizer.variables):
                variable.assign(stored[f"optimizer{index:04d}"])

    def save(self):
        """Write the checkpoint and the averaged weights."""
        arrays = {"step": np.array(self.step)}
        for name, values in (
            ("weight", self.model.get_weights()),
            ("average", self.average.weights),
            (
                "optimizer",
                [np.array(keras.ops.convert_to_numpy(variable)) for variable in self.model.optimizer.variables],
            ),
        ):
            arrays.update({f"{name}{index:04d}": value for index, value in enumerate(values)})
        write_atomically(self.folder / "checkpoint.npz", lambda file: np.savez(file, **arrays))
        save_weights(self.folder / "weights.npz", self.average.weights, self.plan)

    def train_step(self):
        """Do one training step and return its loss, a mean squared velocity error (the pixels span 2)."""
        self.step += 1
        self.model.optimizer.learning_rate = self.plan.rate_at(self.step)
        # A generator of its own for every step: an interrupted run draws what an uninterrupted one would have.
        generator = np.random.default_rng([self.plan.seed, self.step])
        inputs, velocity = training_batch(self.images, self.labels, self.probabilities, self.plan.batch_size, generator)
        loss = float(self.model.train_on_batch(list(inputs), velocity))
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss} in step {self.step}")
        if self.step % self.average.every == 0:
            self.average.update(self.model.get_weights(), self.step)
        return loss

    def train(self, save_every=200, show_progress=True):
        """Train until the plan's last step, saving every `save_every` steps and at the end.

        Args:
            save_every: steps between two checkpoints, which is also when an edited plan is noticed.
            show_progress: whether to show a progress bar.

        Returns:
            The path of the averaged weights.

        Raises:
            FloatingPointError: if the loss is no longer finite.
        """
        started, losses = time.monotonic(), []
        bar = tqdm(total=self.plan.steps, initial=self.step, unit="step", disable=not show_progress, mininterval=2)
        while self.step < self.plan.steps:
            losses.append(self.train_step())
            bar.update()
            if self.step % save_every == 0:
                self.save()
                self._read_plan()
                bar.total = self.plan.steps
                bar.set_postfix(loss=f"{np.mean(losses):.4f}")
                with open(self.folder / "log.csv", "a") as log:
                    log.write(
                        f"{self.step},{self.plan.rate_at(self.step):.3g},{np.mean(losses):.5f},"
                        f"{time.monotonic() - started:.0f}\n"
                    )
                losses = []
        bar.close()
        self.save()
        return self.folder / "weights.npz"
