"""Training that takes hours: it can be stopped at any time, goes on where it was, and can be shortened on the way.

A run lives in a folder of its own:

- `plan.json`: the settings. `steps` and `decay_from` may be edited while the run is going on; they are read again at
  every checkpoint, so a run can be shortened and still end with a falling learning rate.
- `checkpoint.npz`: weights, averaged weights, optimizer state and step; replaced atomically.
- `weights.npz`: the averaged weights alone, in float16.
- `log.csv`: step, learning rate, loss and seconds since the line before, and whatever the kind of run measures on the
  way.
"""

import dataclasses
import json
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from fer_utils.common.files import write_atomically
from workshop.plan import save_weights
from workshop.power_average import PowerAverage


class LongRun:
    """A training run in a folder: created if the folder holds no checkpoint, otherwise taken up where it stopped.

    A kind of run says what it learns from: it fills in `make_batch`, and `measure` if there is something to watch.

    Args:
        folder: the run's folder; created if missing.
        plan: the settings of a new run; for an existing run its `steps` and `decay_from` replace the stored ones.
        build: a function without arguments that returns the compiled keras.Model.

    Raises:
        ValueError: if the folder holds a run with other settings.
    """

    def __init__(self, folder, plan, build):
        import keras

        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.plan = plan
        self.step = 0
        self.plan_is_readable = True
        self._check_plan()
        keras.utils.set_random_seed(plan.seed)
        self.model = build()
        self.model.optimizer.build(self.model.trainable_variables)
        self.average = PowerAverage(self.model.get_weights())
        self.seeds = [variable for variable in self.model.variables if "seed_generator_state" in variable.path]
        if (self.folder / "checkpoint.npz").exists():
            self._restore()
        self._write_plan()

    def make_batch(self, step, *about):
        """Return (inputs, targets) of training step `step`; what it depends on besides, `batch_arguments` says."""
        raise NotImplementedError

    def batch_arguments(self, step):
        """Return what `make_batch` is called with for a step: the step, and whatever the plan of the day says."""
        return (step,)

    def completed(self, inputs, targets):
        """Return (inputs, targets) as the network learns them; here is the place for what only this process can do."""
        return inputs, targets

    def measure(self):
        """Return a dictionary of numbers for the log, taken at every checkpoint."""
        return {}

    def _check_plan(self):
        path = self.folder / "plan.json"
        if not path.exists():
            return
        stored = json.loads(path.read_text())
        # A setting that was not there yet when the run began has the value that it had without being one.
        stored = json.loads(json.dumps(dataclasses.asdict(type(self.plan)()))) | stored
        for name, value in json.loads(json.dumps(dataclasses.asdict(self.plan))).items():
            if name not in ("steps", "decay_from") and stored[name] != value:
                raise ValueError(f"the run in {self.folder} was started with {name}={stored[name]}, not {value}")

    def _write_plan(self):
        text = json.dumps(dataclasses.asdict(self.plan), indent=1) + "\n"
        write_atomically(self.folder / "plan.json", lambda file: file.write(text.encode()))

    def _read_plan(self):
        """Take over an edited plan; one that is just being saved, or mistyped, must not end hours of training."""
        try:
            stored = json.loads((self.folder / "plan.json").read_text(encoding="utf-8"))
            steps, decay_from = int(stored["steps"]), stored["decay_from"]
            self.plan.steps, self.plan.decay_from = steps, decay_from if decay_from is None else int(decay_from)
            self.plan_is_readable = True
        except (OSError, ValueError, KeyError, TypeError) as error:
            if self.plan_is_readable:
                warnings.warn(f"plan.json cannot be read, so the plan stays as it was: {error}", stacklevel=2)
            self.plan_is_readable = False

    def _restore(self):
        with np.load(self.folder / "checkpoint.npz") as stored:
            self.step = int(stored["step"])
            count = len(self.average.weights)
            self.model.set_weights([stored[f"weight{index:04d}"] for index in range(count)])
            self.average.weights = [stored[f"average{index:04d}"] for index in range(count)]
            for index, variable in enumerate(self.model.optimizer.variables):
                variable.assign(stored[f"optimizer{index:04d}"])
        self._forget_log_after(self.step)

    def _forget_log_after(self, step):
        """Drop the lines of steps that were done after the checkpoint, since they are done again."""
        path = self.folder / "log.csv"
        if path.exists():
            head, *lines = path.read_text(encoding="utf-8").splitlines()
            kept = [head, *(line for line in lines if int(line.split(",")[0]) <= step)]
            write_atomically(path, lambda file: file.write(("\n".join(kept) + "\n").encode()))

    def save(self):
        """Write the checkpoint and the averaged weights."""
        import keras

        arrays = {"step": np.array(self.step)}
        optimizer = [np.array(keras.ops.convert_to_numpy(variable)) for variable in self.model.optimizer.variables]
        for name, values in (
            ("weight", self.model.get_weights()),
            ("average", self.average.weights),
            ("optimizer", optimizer),
        ):
            arrays.update({f"{name}{index:04d}": value for index, value in enumerate(values)})
        write_atomically(self.folder / "checkpoint.npz", lambda file: np.savez(file, **arrays))
        save_weights(self.folder / "weights.npz", self.average.weights, self.plan)

    def _taken(self, thread, step, coming):
        """Return the batch of a step, and the coming one, which `thread` makes while the network learns from it."""
        made_for, batch = coming or (None, None)
        arguments = self.batch_arguments(step)
        # What was begun before the plan was edited may be of no use any more.
        inputs_and_targets = batch.result() if made_for == arguments else self.make_batch(*arguments)
        following = self.batch_arguments(step + 1)
        return inputs_and_targets, (following, thread.submit(self.make_batch, *following))

    def train_step(self, batch=None):
        """Do one training step and return its loss; `batch` holds its inputs and targets, None makes them now."""
        self.step += 1
        self.model.optimizer.learning_rate = self.plan.rate_at(self.step)
        # A generator of its own for every step, and dropout seeded by it: an interrupted run draws what an
        # uninterrupted one would have.
        for index, variable in enumerate(self.seeds):
            variable.assign(np.array([self.plan.seed + index, self.step], variable.dtype))
        batch = batch or self.make_batch(*self.batch_arguments(self.step))
        loss = float(self.model.train_on_batch(*self.completed(*batch)))
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss} in step {self.step}")
        # At the end as well: a run that is shorter than that would be judged by the weights it began with.
        if self.step % self.average.every == 0 or self.step == self.plan.steps:
            self.average.update(self.model.get_weights(), self.step)
        return loss

    def train(self, save_every=200, log_every=None, show_progress=True, device=None):
        """Train until the plan's last step, saving every `save_every` steps and at the end.

        Args:
            save_every: steps between two checkpoints, which is also when an edited plan is noticed.
            log_every: steps between two lines of the log; by default at every checkpoint.
            show_progress: whether to show a progress bar.
            device: does many steps at once instead (`workshop.model.on_device.OnDevice`).

        Returns:
            The path of the averaged weights.

        Raises:
            FloatingPointError: if the loss is no longer finite.
        """
        log_every = log_every or save_every
        started, losses = time.monotonic(), []
        bar = tqdm(total=self.plan.steps, initial=self.step, unit="step", disable=not show_progress, mininterval=2)
        with ThreadPoolExecutor(1) as thread:
            coming = None
            while self.step < self.plan.steps:
                if device:
                    stops = (every * (self.step // every + 1) for every in (save_every, log_every))
                    until = min(self.plan.steps, *stops)
                    losses += device.advance(until)
                else:
                    batch, coming = self._taken(thread, self.step + 1, coming)
                    losses.append(self.train_step(batch))
                bar.update(self.step - bar.n)
                last = self.step == self.plan.steps
                if device and (last or self.step == until):
                    device.write_back()
                if self.step % save_every == 0 or last:
                    self.save()
                    self._read_plan()
                    bar.total = self.plan.steps
                if self.step % log_every == 0 or last:
                    self._log(float(np.mean(losses)), time.monotonic() - started, bar)
                    started, losses = time.monotonic(), []
        bar.close()
        self.save()
        return self.folder / "weights.npz"

    def _log(self, loss, seconds, bar):
        measured = self.measure()
        bar.set_postfix(loss=f"{loss:.4f}", **{name: f"{value:.4f}" for name, value in measured.items()})
        path = self.folder / "log.csv"
        row = {
            "step": self.step,
            "learning_rate": f"{self.plan.rate_at(self.step):.3g}",
            "loss": f"{loss:.5f}",
            "seconds": f"{seconds:.1f}",
            **{name: f"{value:.5f}" for name, value in measured.items()},
        }
        new = not path.exists()
        with open(path, "a", encoding="utf-8") as log:
            if new:
                log.write(",".join(row) + "\n")
            log.write(",".join(str(value) for value in row.values()) + "\n")
