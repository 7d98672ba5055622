"""Two trainings of one network, one after the other."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from fer_utils.training.precision import choose_precision, why_precision
from fer_utils.training.run_files import MODEL_FILE, TrainedRun, copy_file, read_model
from fer_utils.training.train import train


def prepare(seed: int) -> None:
    """Begin a lesson: start every random number at `seed`, choose the number format, and say which.

    The format is mixed_bfloat16 where this machine has instructions for it; `$FER_PRECISION` asks for another.
    """
    import keras

    keras.utils.set_random_seed(seed)
    choose_precision(os.environ.get("FER_PRECISION", "auto"))
    print(why_precision())


def two_stages(
    model,
    last_layers: Iterable[str],
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    *,
    name: str,
    output_dir: str | Path,
    epochs: tuple[int, int],
    learning_rates: tuple[float, float],
    batch_size: int = 64,
    seed: int = 0,
) -> tuple[TrainedRun, TrainedRun]:
    """Train a head on a frozen backbone, then the head and the backbone's last layers: what notebook 5 does by hand.

    Args:
        model: an uncompiled keras.Model of the series with one model in it, the backbone.
        last_layers: names of the layers of the backbone that the second stage trains too.
        training, validation, output_dir, batch_size, seed: as for `train`.
        name: the folder of the second stage; the first one's is followed by "_head".
        epochs: of both stages.
        learning_rates: Adam's, of both stages.

    Returns:
        The run of each stage; `join_stages` makes one of them.
    """
    import keras

    def compiled(model, rate):
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def backbone_of(model):
        return next(layer for layer in model.layers if isinstance(layer, keras.Model))

    last_layers = set(last_layers)
    shared = {"output_dir": output_dir, "batch_size": batch_size, "seed": seed, "frozen_once": True}
    backbone = backbone_of(model)
    backbone.trainable = False
    later = [layer for layer in backbone.layers if layer.name in last_layers]
    head = train(
        compiled(model, learning_rates[0]),
        training,
        validation,
        name=f"{name}_head",
        epochs=epochs[0],
        trained_later=later,
        **shared,
    )
    # Read anew: the run keeps the model of its best epoch, and the second stage changes what it is given.
    model = read_model(head.folder)
    backbone = backbone_of(model)
    backbone.trainable = True
    for layer in backbone.layers:
        layer.trainable = layer.name in last_layers
    tail = train(
        compiled(model, learning_rates[1]), training, validation, name=name, epochs=epochs[1], after=head, **shared
    )
    return head, tail


def join_stages(first: TrainedRun, second: TrainedRun) -> TrainedRun:
    """Return two stages of one training as one run, with the model of the epoch that was best in either.

    Fine-tuning can spoil what the first stage had learned; which of the two is kept is a choice, so the validation
    part makes it. The model kept is also the one in the second stage's folder afterwards.
    """
    history = pd.concat([first.history, second.history], ignore_index=True)
    history.index = pd.RangeIndex(1, len(history) + 1, name="epoch")
    if first.history["val_accuracy"].max() >= second.history["val_accuracy"].max():
        copy_file(first.folder / MODEL_FILE, second.folder / MODEL_FILE)
    # From the file and not from `first.model`: that very object may be what the second stage trained on.
    return TrainedRun(read_model(second.folder), history, second.folder)
