"""Training that shows its progress, survives a kernel restart and leaves its history on disk."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.models.predict import as_input
from fer_utils.training.callbacks import _epoch_keeper, _progress, _rate_halver, _rate_kept
from fer_utils.training.identity import _identity, _on_disk
from fer_utils.training.run_files import (
    TrainedRun,
    _best_model,
    _finished,
    _read_history,
    _resume,
    _taken_over,
    _write_json,
)


def train(
    model,
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    *,
    name: str,
    output_dir: str | Path,
    epochs: int,
    batch_size: int = 64,
    seed: int = 0,
    patience: int | None = None,
    rate_patience: int | None = None,
    class_weight: dict[int, float] | None = None,
    settings: dict | None = None,
    frozen_once: bool = False,
    trained_later: list = (),
    after: TrainedRun | None = None,
) -> TrainedRun:
    """Fit a compiled model and keep the weights that were best on the validation part.

    After each epoch the model, its optimizer and the history are saved (after several, if an epoch takes less time than
    five times the saving). The same call after a kernel restart goes on with the next epoch; after a finished run it
    loads the result; with more `epochs` it trains on. A call for another training starts anew and removes what the
    earlier one left. If the very same training was done under another name in `output_dir`, its result is taken from
    there.

    Two calls are for the same training if all of this is equal: images and labels, in their order; every layer with
    its settings, number format and place in the network; the weights of frozen layers; loss and optimizer with all
    their settings; `batch_size`, `seed`, `class_weight`, `rate_patience` and `settings`. Names of layers do not count,
    nor do the starting weights of layers that are trained, since training changes them in the given model: where they
    come from belongs into `settings`. `epochs` and `patience` only say when a training is finished.

    Args:
        model: a compiled keras.Model, (n, 48, 48, 1) → (n, 7), with the metric "accuracy".
        training: (images uint8 (n, 48, 48), labels int64 (n,)); for the tail of a model, features float (n, …) instead
            of images, which are read batch by batch if they are a memory map.
        validation: the same for the part that the best epoch is chosen on.
        name: the folder below `output_dir`.
        output_dir: where runs are kept.
        epochs: passes over the training part, in all.
        batch_size: images per step.
        seed: for the order of the images.
        patience: stop after this many epochs without a better validation accuracy; None never stops early.
        rate_patience: halve the learning rate after this many epochs without a better validation accuracy; None keeps
            it as it is.
        class_weight: weight of each label in the loss.
        settings: whatever else makes this run another one (learning rate, image size, weights, data).
        frozen_once: let the frozen layers at the model's beginning see each picture a single time, and train the rest
            on what they answer (see `frozen_layers`). What is learned, kept and given back is the whole model.
        trained_later: with `frozen_once`, layers of the backbone that a later stage will train as well. What the layers
            before them answer is then kept too, so that the later stage need not compute it.
        after: the earlier stage that this one goes on from; another earlier stage makes it another training.

    Raises:
        UserError: if `epochs` is below 1, if the loss is no longer a finite number (what was saved before is kept), or
            with `frozen_once` if nothing at the beginning is frozen.
    """
    import keras

    from fer_utils.acceleration.faster_fit import faster_fit

    if epochs < 1:
        raise UserError(f"EPOCHS must be at least 1, not {epochs}")
    whole = None
    if frozen_once:
        from fer_utils.training.frozen_layers import only_tail

        whole, (model, training, validation) = model, only_tail(model, training, validation, batch_size, trained_later)
    tail = model
    folder = Path(output_dir) / name
    folder.mkdir(parents=True, exist_ok=True)
    if rate_patience is not None:
        settings = {**(settings or {}), "rate_patience": rate_patience}
    if after is not None:
        earlier = (after.folder / "settings.json").read_text(encoding="utf-8")
        before = {"identity": hashlib.sha256(earlier.encode()).hexdigest()[:16], "epochs": after.epochs}
        settings = {**(settings or {}), "after": before}
    identity = _identity(model, training, validation, batch_size, seed, class_weight, settings)
    best = folder / ("tail.keras" if whole else "model.keras")
    history = _resume(folder, identity, best.name)
    if history is None and whole is None:
        history = _taken_over(folder, identity, epochs, patience)
    if history is not None and len(history):
        done = len(history)
        if _finished(history, epochs, patience):
            print(f"{name}: {done} finished epochs found in {folder.name}/, loaded instead of trained again.")
            return TrainedRun(_best_model(best, tail, whole), history, folder)
        print(f"{name}: going on after epoch {done} of {epochs}.")
        model = keras.models.load_model(folder / "checkpoint.keras")
    else:
        history = pd.DataFrame()
        _write_json(folder / "settings.json", identity)
    keras.utils.set_random_seed(seed + len(history))
    keeper = _epoch_keeper(folder, best, history, patience)
    steps = -(-len(training[1]) // batch_size)
    with (
        tqdm(total=steps * (epochs - len(history)), desc=name, unit="step") as bar,
        _rate_kept(model, rate_patience),
        faster_fit(model),
    ):
        model.fit(
            **_fed(training, validation, batch_size, seed, len(history)),
            initial_epoch=len(history),
            epochs=epochs,
            class_weight=class_weight,
            verbose=0,
            callbacks=[
                keras.callbacks.TerminateOnNaN(),
                *_rate_halver(history, rate_patience),
                keeper,
                _progress(bar, epochs),
            ],
        )
    return TrainedRun(_best_model(best, tail, whole, keeper.best_weights), _read_history(folder), folder)


def _fed(training: tuple, validation: tuple, batch_size: int, seed: int, first_epoch: int) -> dict:
    """Return the arguments of `fit` that say what it learns from: arrays, or batches read from a memory map."""
    if not _on_disk(training[0]):
        whole = (as_input(validation[0]), validation[1])
        return {"x": as_input(training[0]), "y": training[1], "validation_data": whole, "batch_size": batch_size}
    from fer_utils.training.feature_batches import batches

    # Validated in larger batches: nothing is kept for a backward pass.
    held_out = batches(*validation, 4 * batch_size)
    return {"x": batches(*training, batch_size, seed, first_epoch), "validation_data": held_out, "shuffle": False}
