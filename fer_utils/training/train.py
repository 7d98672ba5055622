"""Training that shows its progress, goes on after a stop and leaves its history on disk."""

from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.models.augmentation import without_augmentation
from fer_utils.training import callbacks
from fer_utils.training.batches import batches
from fer_utils.training.frozen_layers import only_tail
from fer_utils.training.identity import describe_earlier, describe_run
from fer_utils.training.run_files import (
    SETTINGS_FILE,
    TrainedRun,
    history_table,
    only_one,
    read_model,
    read_run,
    take_over,
    write_json,
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
    class_weight: dict[int, float] | None = None,
    settings: dict | None = None,
    frozen_once: bool = False,
    trained_later: list = (),
    after: TrainedRun | None = None,
) -> TrainedRun:
    """Fit a compiled model and keep the weights that were best on the validation part.

    The same call after a stop goes on with the next epoch and ends as if it had never been stopped; after a finished
    run it loads the result. A call for another training (`describe_run`) discards the earlier one.

    Args:
        model: a compiled keras.Model, (n, 48, 48, 1) → (n, 7), with the metric "accuracy".
        training, validation: (images uint8 (n, 48, 48), labels int64 (n,)); the second one chooses the best epoch.
        name, output_dir: the run's folder and where it lies.
        epochs: passes over the training part, in all.
        batch_size: images per step.
        seed: for the order of the images.
        class_weight: of each label in the loss.
        settings: what else makes it another run.
        frozen_once: let the frozen layers see each picture a single time (`frozen_layers`).
        trained_later: with `frozen_once`, layers that a later stage will train; what it begins with is kept too.
        after: the earlier stage that this one goes on from.

    Raises:
        UserError: for no epochs, a folder that somebody else trains into, a loss that is no number, nothing frozen.
    """

    if epochs < 1:
        raise UserError(f"EPOCHS must be at least 1, not {epochs}")
    folder, whole = Path(output_dir) / name, model
    with only_one(folder):
        if frozen_once:
            model, training, validation = only_tail(model, training, validation, batch_size, trained_later)
        settings = {**(settings or {}), **describe_earlier(after)}
        identity = describe_run(model, training, validation, batch_size, seed, class_weight, settings)
        rows, best = read_run(folder, identity, model, epochs)
        if not rows and take_over(folder, identity, epochs):
            rows, best = read_run(folder, identity, model, epochs)
        if len(rows) >= epochs:
            print(f"{name}: {len(rows)} finished epochs found in {folder.name}/, loaded instead of trained again.")
            return TrainedRun(best, history_table(rows), folder)
        if rows:
            print(f"{name}: going on after epoch {len(rows)} of {epochs}.")
        write_json(folder / SETTINGS_FILE, identity)
        keeper = callbacks.epoch_keeper(folder, without_augmentation(whole), rows)
        fed = batches(*training, batch_size, seed, first_epoch=len(rows))
        _fit(model, fed, batches(*validation, 4 * batch_size), epochs, class_weight, keeper, seed)
        return TrainedRun(read_model(folder) if keeper.found_better else best, history_table(rows), folder)


def _fit(model, fed, held_out, epochs: int, class_weight, keeper, seed: int) -> None:
    """Train the epochs that are missing, and show how far it is."""
    import keras

    from fer_utils.acceleration.faster_fit import faster_fit

    done = len(keeper.rows)
    keras.utils.set_random_seed(seed + done)
    with tqdm(total=len(fed) * (epochs - done), unit="step") as bar, faster_fit(model):
        model.fit(
            fed,
            validation_data=held_out,
            shuffle=False,
            initial_epoch=done,
            epochs=epochs,
            class_weight=class_weight,
            verbose=0,
            callbacks=[keras.callbacks.TerminateOnNaN(), keeper, callbacks.progress(bar, epochs)],
        )
