"""What happens after each epoch: keep, halve the rate, show the progress."""

import contextlib
import time
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.training.run_files import _duplicate, _save_model, _write_json

SAVED_AT_ONCE = 0.5


@contextlib.contextmanager
def _rate_kept(model, rate_patience: int | None):
    """Give a model its learning rate back after halvings, so that the same call again is seen to be the same."""
    rate = None if rate_patience is None else float(model.optimizer.learning_rate)
    try:
        yield
    finally:
        if rate is not None:
            model.optimizer.learning_rate = rate


"""Seconds: what is saved faster than this is saved after every epoch."""


def _epoch_keeper(folder: Path, best_file: Path, history: pd.DataFrame, patience: int | None):
    """Return a callback that saves the model, the best model and the history after each epoch.

    Where saving takes longer than a fifth of the time since it was done last, it waits for a later epoch.
    """
    import keras

    from fer_utils.models.augmentation import without_augmentation

    class EpochKeeper(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.rows = history.to_dict("records")
            self.best_weights = None  # if the best epoch is one of these
            self.is_best_waiting = False  # for being saved
            self.saved = self.saving_took = 0.0

        def on_epoch_begin(self, epoch, logs=None):
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            for name in ("loss", "val_loss"):
                # Before anything is saved: what was learned until the last epoch is not to be lost.
                if not np.isfinite(logs[name]):
                    raise UserError(
                        f"{folder.name}: {name} became {logs[name]:g} in epoch {epoch + 1}, so this training "
                        "leads nowhere: lower the learning rate"
                    )
            row = {key: float(f"{value:.6g}") for key, value in logs.items()}
            self.rows.append({**row, "seconds": round(time.perf_counter() - self.started, 3)})
            best = int(np.argmax([row["val_accuracy"] for row in self.rows]))
            if patience is not None and len(self.rows) - 1 - best >= patience:
                self.model.stop_training = True
            is_best = best == len(self.rows) - 1
            if is_best:
                self.best_weights = self.model.get_weights()
            if self.model.stop_training or epoch + 1 == self.params["epochs"] or self.is_worth_saving():
                self.save(is_best)
            elif is_best:
                self.is_best_waiting = True

        def is_worth_saving(self):
            # On a GPU an epoch of a large network may be over sooner than the network is written.
            return self.saving_took < SAVED_AT_ONCE or time.perf_counter() - self.saved > 5 * self.saving_took

        def save(self, is_best):
            started = time.perf_counter()
            _save_model(self.model, folder / "checkpoint.keras")
            if is_best:
                self.keep_best()
            elif self.is_best_waiting:
                now = self.model.get_weights()
                self.model.set_weights(self.best_weights)
                self.keep_best(is_saved=False)
                self.model.set_weights(now)
            self.is_best_waiting = False
            # The history goes last: it is what says that the epochs are done.
            _write_json(folder / "history.json", self.rows)
            self.saved = time.perf_counter()
            self.saving_took = self.saved - started

        def keep_best(self, is_saved=True):
            network = without_augmentation(self.model)
            if network is self.model and is_saved:
                _duplicate(folder / "checkpoint.keras", best_file)
            else:
                # It does nothing at prediction time, and without it any Keras can open the file.
                _save_model(network, best_file)

    return EpochKeeper()


def _rate_halver(history: pd.DataFrame, patience: int | None) -> list:
    """Return Keras's ReduceLROnPlateau in a list, knowing what the epochs before an interruption were like."""
    import keras

    if patience is None:
        return []

    class RateHalver(keras.callbacks.ReduceLROnPlateau):
        def on_train_begin(self, logs=None):
            super().on_train_begin(logs)
            if len(history):
                accuracies = history["val_accuracy"].to_numpy()
                self.best = float(accuracies.max())
                # The halved rate itself comes back with the optimizer; every halving began the waiting anew.
                self.wait = (len(accuracies) - 1 - int(accuracies.argmax())) % patience

    # Less than one picture's worth of accuracy, and more than what the history loses by rounding.
    return [RateHalver("val_accuracy", factor=0.5, patience=patience, mode="max", min_delta=1e-5)]


def _progress(bar: tqdm, epochs: int):
    """Return a callback that moves one bar over all epochs."""
    import keras

    class Progress(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            bar.set_description(f"epoch {epoch + 1}/{epochs}")

        def on_train_batch_end(self, batch, logs=None):
            bar.update()

        def on_epoch_end(self, epoch, logs=None):
            bar.set_postfix({key: f"{value:.3f}" for key, value in logs.items() if "accuracy" in key})

    return Progress()
