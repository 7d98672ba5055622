"""The files of a run: written, read again, taken over."""

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

METRICS_FILE = "metrics.json"

PREDICTIONS_FILE = "predictions.npz"


@dataclass(frozen=True)
class TrainedRun:
    """What training gives back.

    Attributes:
        model: the keras.Model, not compiled, with the weights of the epoch that was best on the validation part, and
            without augmentation in front.
        history: one row an epoch (index 1, 2, …): loss, accuracy, val_loss, val_accuracy, seconds.
        folder: where model.keras, history.json and settings.json lie.
    """

    model: object
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


def _best_model(best: Path, tail, whole, weights: list | None = None):
    """Return the model with its best weights, and leave it in model.keras without the optimizer's state.

    That state is two thirds of the file and of no use to a reader. `weights` are the tail's best, if they are at hand.
    """
    import keras

    if whole is None:
        model = keras.models.load_model(best, compile=False)
        _save_model(model, best)
        return model
    # The layers are shared: what the tail is given, the whole model has. Its weights alone are read in a quarter of the
    # time that it takes to build it anew.
    bare = keras.Model(tail.inputs, tail.outputs, name=tail.name)
    if weights:
        bare.set_weights(weights)
    else:
        # Into the bare one: Keras would warn that there is no state for the tail's optimizer.
        bare.load_weights(best)
    _save_model(bare, best)
    path = best.with_name("model.keras")
    # The same layers without the optimizer, which has never seen the frozen ones and would be missed when loading.
    _save_model(keras.Model(whole.inputs, whole.outputs, name=whole.name), path)
    return keras.models.load_model(path, compile=False)


def forget(output_dir: str | Path, name: str) -> None:
    """Remove a run's files, so that the next `train` starts anew; its scores go too, which are of the old model."""

    folder = Path(output_dir) / name
    models = ("checkpoint.keras", "model.keras", "tail.keras")
    for file in (*models, "history.json", "settings.json", METRICS_FILE, PREDICTIONS_FILE):
        (folder / file).unlink(missing_ok=True)


def _resume(folder: Path, identity: dict, best: str) -> pd.DataFrame | None:
    try:
        known = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        history = _read_history(folder)
    except (OSError, ValueError):
        known, history = None, None
    complete = all((folder / file).is_file() for file in ("checkpoint.keras", best))
    if known == identity and complete:
        return history
    if known is not None and known != identity:
        print(f"{folder.name}: an earlier training with other settings or data is discarded.")
    forget(folder.parent, folder.name)
    return None


def _taken_over(folder: Path, identity: dict, epochs: int, patience: int | None) -> pd.DataFrame | None:
    """Copy the same training, done to its end under another name, into this run's folder; return its history.

    More epochs than were asked for would be another training: they have more chances for a best one.
    """
    for other in sorted(folder.parent.iterdir()):
        with contextlib.suppress(OSError, ValueError):
            if other == folder or json.loads((other / "settings.json").read_text(encoding="utf-8")) != identity:
                continue
            history = _read_history(other)
            if len(history) <= epochs and _finished(history, epochs, patience):
                for file in ("checkpoint.keras", "model.keras", "settings.json", "history.json"):
                    _duplicate(other / file, folder / file)
                print(f"{folder.name}: the same training was done as {other.name} and is taken from there.")
                return history
    return None


def _finished(history: pd.DataFrame, epochs: int, patience: int | None) -> bool:
    waited = len(history) - int(history["val_accuracy"].to_numpy().argmax()) - 1
    return len(history) >= epochs or (patience is not None and waited >= patience)


def _read_history(folder: Path) -> pd.DataFrame:
    rows = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="epoch"))


def _write_json(path: Path, content) -> None:
    building = path.with_suffix(".building")
    building.write_text(json.dumps(content, indent=1), encoding="utf-8")
    building.replace(path)


def _save_model(model, path: Path) -> None:
    """Save under another name first: a kernel killed while saving must not cost the previous checkpoint."""
    building = path.with_name(f"building-{path.name}")
    model.save(building)
    building.replace(path)


def _duplicate(source: Path, target: Path) -> None:
    """Give a saved model a second name, without writing it again where the file system can do that.

    Neither name ever sees what is saved under the other: a file that is saved anew takes the place of the old one.
    """
    building = target.with_name(f"building-{target.name}")
    building.unlink(missing_ok=True)
    try:
        os.link(source, building)
    except OSError:
        shutil.copyfile(source, building)
    building.replace(target)
    # Replacing does nothing if both are names of one file already.
    building.unlink(missing_ok=True)
