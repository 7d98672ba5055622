"""The files of a run: written, read again, taken over."""

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_utils.common.errors import UserError
from fer_utils.common.files import write_atomically

METRICS_FILE = "metrics.json"

PREDICTIONS_FILE = "predictions.npz"

MODEL_FILE = "model.keras"

CHECKPOINT_FILE = "checkpoint.npz"

HISTORY_FILE = "history.json"

SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class TrainedRun:
    """What training gives back.

    Attributes:
        model: the keras.Model, not compiled, with the weights of the epoch that was best on the validation part, and
            without augmentation in front.
        history: one row an epoch (index 1, 2, …): loss, accuracy, val_loss, val_accuracy, seconds.
        folder: where model.keras, history.json and settings.json lie.
    """

    model: Any
    history: pd.DataFrame
    folder: Path

    @property
    def epochs(self) -> int:
        """How many epochs were trained."""
        return len(self.history)

    @property
    def best_epoch(self) -> int:
        """The epoch with the highest validation accuracy; the earlier one of equals."""
        return int(self.history["val_accuracy"].idxmax())

    @property
    def seconds(self) -> float:
        """Seconds spent in training epochs, over all restarts."""
        return float(self.history["seconds"].sum())


@contextlib.contextmanager
def only_one(folder: Path):
    """Make a run's folder, and let nobody else train into it inside the `with` block.

    Raises:
        UserError: if somebody does, or the folder cannot be made.
    """
    import filelock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except filelock.Timeout as error:
        raise UserError(
            f"{folder.name}: another training is writing into this folder: wait for its end, or choose another name"
        ) from error
    except OSError as error:
        raise UserError(f"cannot write into {folder} ({error.strerror}): choose another output_dir") from error
    try:
        yield
    finally:
        lock.release()


def read_run(folder: Path, identity: dict, model, epochs: int) -> tuple:
    """Read how far this training has come, before the rest of it costs time; what is damaged is said and discarded.

    Args:
        folder: of the run.
        identity: from `describe_run`.
        model: compiled; if epochs are missing, it gets the weights, the optimizer's state and the random numbers'
            of the last one.
        epochs: how many are wanted.

    Returns:
        (a list with one row an epoch, the best model so far); ([], None) if the training begins anew.
    """
    file = SETTINGS_FILE
    try:
        if not (folder / HISTORY_FILE).exists():
            # Nothing there, or stopped in the first epoch.
            pass
        elif _read_json(folder / file) != identity:
            print(f"{folder.name}: an earlier training with other settings or data is discarded.")
        else:
            file = HISTORY_FILE
            rows = _read_json(folder / file)
            np.argmax([row["val_accuracy"] for row in rows])
            file = MODEL_FILE
            best = read_model(folder)
            if len(rows) < epochs:
                file = CHECKPOINT_FILE
                _restore(model, folder / file)
            return rows, best
    except MemoryError:
        raise
    except Exception:  # Keras, h5py, zipfile and zlib each have exceptions of their own for a damaged file.
        print(f"{folder.name}: {file} is damaged or missing, so this training begins anew.")
    forget(folder.parent, folder.name)
    return [], None


def read_model(folder: Path):
    """Return the best model of a run; never the same object twice."""
    import keras

    return keras.models.load_model(folder / MODEL_FILE, compile=False)


def take_over(folder: Path, identity: dict, epochs: int) -> bool:
    """Copy the same training, done under another name, into a run's empty folder; return whether there was one.

    More epochs than were asked for would be another training: they have more chances for a best one.
    """
    for other in sorted(folder.parent.iterdir()):
        # Where somebody trains now, or has left something else or damaged, is passed over.
        with contextlib.suppress(Exception):
            if other == folder or _read_json(other / SETTINGS_FILE) != identity:
                continue
            with only_one(other):
                if len(_read_json(other / HISTORY_FILE)) == epochs:
                    read_model(other)
                    for file in (MODEL_FILE, CHECKPOINT_FILE, SETTINGS_FILE, HISTORY_FILE):
                        copy_file(other / file, folder / file)
                    print(f"{folder.name}: the same training was done as {other.name} and is taken from there.")
                    return True
    return False


def forget(output_dir: str | Path, name: str) -> None:
    """Remove a run's files, so that the next `train` starts anew; its scores go too, which are of the old model."""
    folder = Path(output_dir) / name
    for file in (CHECKPOINT_FILE, MODEL_FILE, HISTORY_FILE, SETTINGS_FILE, METRICS_FILE, PREDICTIONS_FILE):
        (folder / file).unlink(missing_ok=True)


def save_checkpoint(model, path: Path) -> None:
    """Write all that a training needs to go on: weights, optimizer, and how far the random numbers have come.

    As a zip of arrays, for its checksums: HDF5 would hand on what a disk has damaged.
    """
    from keras import ops

    values = {f"{i:05}": ops.convert_to_numpy(variable) for i, variable in enumerate(_state(model))}
    write_atomically(path, lambda file: np.savez(file, **values))


def save_model(model, path: Path) -> None:
    """Save a model's layers and weights, without an optimizer, which is two thirds of a file and of no use to a reader.

    Under another name first: who is stopped while saving must not lose the model before.
    """
    import keras

    building = path.with_name(f"building-{path.name}")
    keras.Model(model.inputs, model.outputs, name=model.name).save(building)
    with open(building, "rb+") as saved:
        os.fsync(saved.fileno())
    os.replace(building, path)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all."""
    with open(source, "rb") as content:
        write_atomically(target, lambda file: shutil.copyfileobj(content, file))


def write_json(path: Path, content) -> None:
    """Write a JSON file, whole or not at all."""
    write_atomically(path, lambda file: file.write(json.dumps(content, indent=1).encode()))


def history_table(rows: list[dict]) -> pd.DataFrame:
    """Return the history of a run: one row an epoch, counted from 1."""
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="epoch"))


def _read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def _state(model) -> list:
    """Return every variable of a compiled model and its optimizer, those of its random numbers included."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def _restore(model, path: Path) -> None:
    state = _state(model)
    # All of them are read, and their checksums compared, before the first one is put in its place.
    with np.load(path) as kept:
        values = [kept[name] for name in sorted(kept.files)]
    if [value.shape for value in values] != [tuple(variable.shape) for variable in state]:
        raise ValueError("of another network")
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
