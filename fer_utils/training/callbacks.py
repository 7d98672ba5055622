"""What happens after each epoch: keep it, show the progress."""

import time
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.training.run_files import (
    CHECKPOINT_FILE,
    HISTORY_FILE,
    MODEL_FILE,
    save_checkpoint,
    save_model,
    write_json,
)

# Seconds: what is saved faster than this is saved after every epoch.
SAVED_AT_ONCE = 0.5


def epoch_keeper(folder: Path, network, rows: list[dict]):
    """Return a callback that keeps the last epoch, the best model and the history after each epoch.

    Where saving takes longer than a fifth of the time since it was done last, it waits for a later epoch. Keras's
    BackupAndRestore, ModelCheckpoint and CSVLogger write into the files that are there: who is stopped meanwhile has
    lost both, and they keep no state of random numbers.

    Args:
        folder: of the run.
        network: what is kept of the best epoch; it shares the layers of the model that is trained.
        rows: the history so far; it grows.
    """
    import keras

    class EpochKeeper(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.rows = rows
            self.best_weights = None  # of the model that is trained, until they are saved
            self.found_better = False
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
            rows.append({**row, "seconds": round(time.perf_counter() - self.started, 3)})
            if int(np.argmax([row["val_accuracy"] for row in rows])) == len(rows) - 1:
                self.best_weights, self.found_better = self.model.get_weights(), True
            # On a GPU an epoch of a large network may be over sooner than the network is written.
            rested = time.perf_counter() - self.saved > 5 * self.saving_took
            if rested or self.saving_took < SAVED_AT_ONCE or epoch + 1 == self.params["epochs"]:
                self.save()

        def save(self):
            started = time.perf_counter()
            save_checkpoint(self.model, folder / CHECKPOINT_FILE)
            if self.best_weights is not None:
                now = self.model.get_weights()
                self.model.set_weights(self.best_weights)
                save_model(network, folder / MODEL_FILE)
                self.model.set_weights(now)
                self.best_weights = None
            # The history goes last: it is what says that the epochs are done.
            write_json(folder / HISTORY_FILE, rows)
            self.saved = time.perf_counter()
            self.saving_took = self.saved - started

    return EpochKeeper()


def progress(bar: tqdm, epochs: int):
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
