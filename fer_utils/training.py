"""Training that shows its progress, survives a kernel restart and leaves its history on disk."""

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from fer_utils.errors import UserError
from fer_utils.precision import choose_precision, why_precision

__all__ = [
    "TrainedRun", "as_input", "checksum", "choose_precision", "cosine_rate", "describe_layers", "environment", "forget",
    "join_stages", "optimizer", "prepare", "train", "two_stages", "why_precision",
]  # fmt: skip


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


def as_input(images: np.ndarray) -> np.ndarray:
    """Return uint8 images (n, 48, 48) with the channel axis that every model expects: (n, 48, 48, 1).

    Features, which are float (n, …), and images that have the axis come back as they are.
    """
    is_grey = np.issubdtype(images.dtype, np.integer) and images.ndim == 3
    return np.asarray(images)[..., np.newaxis] if is_grey else images


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
            on what they answer (see `fer_utils.features`). What is learned, kept and given back is the whole model.
        trained_later: with `frozen_once`, layers of the backbone that a later stage will train as well. What the layers
            before them answer is then kept too, so that the later stage need not compute it.
        after: the earlier stage that this one goes on from; another earlier stage makes it another training.

    Raises:
        UserError: if `epochs` is below 1, if the loss is no longer a finite number (what was saved before is kept), or
            with `frozen_once` if nothing at the beginning is frozen.
    """
    import keras

    from fer_utils.faster_fit import faster_fit

    if epochs < 1:
        raise UserError(f"EPOCHS must be at least 1, not {epochs}")
    whole = None
    if frozen_once:
        from fer_utils.features import only_tail

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
            initial_epoch=len(history), epochs=epochs, class_weight=class_weight, verbose=0,
            callbacks=[
                keras.callbacks.TerminateOnNaN(), *_rate_halver(history, rate_patience), keeper, _progress(bar, epochs)
            ],
        )  # fmt: skip
    return TrainedRun(_best_model(best, tail, whole, keeper.best_weights), _read_history(folder), folder)


def prepare(seed: int) -> None:
    """Begin a lesson: start every random number at `seed`, choose the number format, and say which.

    The format is mixed_bfloat16 where this machine is faster with it; `$FER_PRECISION` asks for another.
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

    What frozen layers answer is computed once (see `train`, `frozen_once`).

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
        compiled(model, learning_rates[0]), training, validation, name=f"{name}_head", epochs=epochs[0],
        trained_later=later, **shared,
    )  # fmt: skip
    # Read anew: the run keeps the model of its best epoch, and the second stage changes what it is given.
    model = keras.models.load_model(head.folder / "model.keras", compile=False)
    backbone = backbone_of(model)
    backbone.trainable = True
    for layer in backbone.layers:
        layer.trainable = layer.name in last_layers
    tail = train(
        compiled(model, learning_rates[1]), training, validation, name=name, epochs=epochs[1], after=head, **shared
    )
    return head, tail


OPTIMIZERS = ("adam", "muon")


def optimizer(name: str, learning_rate, weight_decay: float = 0.0):
    """Return a new optimizer.

    Args:
        name: "adam", Keras's own, or "muon", which is Adam but for convolutions (`fer_utils.muon`).
        learning_rate: a number or a schedule.
        weight_decay: share of itself, times the learning rate, that each weight loses in a step.

    Raises:
        UserError: for another name.
    """
    import keras

    from fer_utils.muon import ConvolutionMuon

    if name not in OPTIMIZERS:
        raise UserError(f"the optimizer is {' or '.join(map(repr, OPTIMIZERS))}, not {name!r}")
    made = {"adam": keras.optimizers.Adam, "muon": ConvolutionMuon}[name]
    return made(learning_rate, weight_decay=weight_decay or None)


def loss(label_smoothing: float = 0.0):
    """Return the loss for integer labels and probabilities.

    Args:
        label_smoothing: share of each label that is spread evenly over all expressions (`fer_utils.smoothing`).

    Raises:
        UserError: if it is not a share below 1.
    """
    if not 0 <= label_smoothing < 1:
        raise UserError(f"label smoothing is a share from 0 to below 1, not {label_smoothing}")
    if not label_smoothing:
        return "sparse_categorical_crossentropy"
    from fer_utils.smoothing import SmoothedCrossentropy

    return SmoothedCrossentropy(label_smoothing)


def cosine_rate(learning_rate: float, epochs: int, n: int, batch_size: int, warm_up: int = 2):
    """Return a learning rate that rises for a few epochs and then falls to zero along half a cosine.

    After Loshchilov & Hutter 2017, "SGDR: Stochastic gradient descent with warm restarts" (arXiv:1608.03983), without
    the restarts; the rise, a straight line from zero, after Goyal et al. 2017 (arXiv:1706.02677).

    Args:
        learning_rate: the highest one.
        epochs: in all; at their end the rate is zero.
        n: training pictures.
        batch_size: pictures a step.
        warm_up: epochs of the rise, at most a fifth of all.

    Returns:
        A keras.optimizers.schedules.LearningRateSchedule.
    """
    import keras

    steps = -(-n // batch_size)
    rise = min(warm_up * steps, epochs * steps // 5)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if rise else learning_rate, epochs * steps - rise, warmup_target=learning_rate if rise else None,
        warmup_steps=rise,
    )  # fmt: skip


@contextlib.contextmanager
def _rate_kept(model, rate_patience: int | None):
    """Give a model its learning rate back after halvings, so that the same call again is seen to be the same."""
    rate = None if rate_patience is None else float(model.optimizer.learning_rate)
    try:
        yield
    finally:
        if rate is not None:
            model.optimizer.learning_rate = rate


def _fed(training: tuple, validation: tuple, batch_size: int, seed: int, first_epoch: int) -> dict:
    """Return the arguments of `fit` that say what it learns from: arrays, or batches read from a memory map."""
    if not _on_disk(training[0]):
        whole = (as_input(validation[0]), validation[1])
        return {"x": as_input(training[0]), "y": training[1], "validation_data": whole, "batch_size": batch_size}
    from fer_utils.features import batches

    # Validated in larger batches: nothing is kept for a backward pass.
    held_out = batches(*validation, 4 * batch_size)
    return {"x": batches(*training, batch_size, seed, first_epoch), "validation_data": held_out, "shuffle": False}


def _on_disk(images: np.ndarray) -> bool:
    return isinstance(images, np.memmap) and np.issubdtype(images.dtype, np.floating)


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


def join_stages(first: TrainedRun, second: TrainedRun) -> TrainedRun:
    """Return two stages of one training as one run, with the model of the epoch that was best in either.

    Fine-tuning can spoil what the first stage had learned; which of the two is kept is a choice, so the validation
    part makes it. The model kept is also the one in the second stage's folder afterwards.
    """
    import keras

    history = pd.concat([first.history, second.history], ignore_index=True)
    history.index = pd.RangeIndex(1, len(history) + 1, name="epoch")
    if first.history["val_accuracy"].max() >= second.history["val_accuracy"].max():
        _duplicate(first.folder / "model.keras", second.folder / "model.keras")
    # From the file and not from `first.model`: that very object may be what the second stage trained on.
    model = keras.models.load_model(second.folder / "model.keras", compile=False)
    return TrainedRun(model, history, second.folder)


def forget(output_dir: str | Path, name: str) -> None:
    """Remove a run's files, so that the next `train` starts anew; its scores go too, which are of the old model."""
    from fer_utils.results import METRICS_FILE, PREDICTIONS_FILE

    folder = Path(output_dir) / name
    models = ("checkpoint.keras", "model.keras", "tail.keras")
    for file in (*models, "history.json", "settings.json", METRICS_FILE, PREDICTIONS_FILE):
        (folder / file).unlink(missing_ok=True)


def environment() -> dict:
    """Return what a result depends on besides its settings: versions, backend, processor."""
    import keras

    packages = {"keras": "keras", "numpy": "numpy", "opencv": "opencv-python-headless", "scikit-learn": "scikit-learn"}
    backend = keras.backend.backend()
    packages[backend] = backend
    return {
        "python": platform.python_version(),
        "backend": backend,
        "precision": keras.config.dtype_policy().name,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {name: version(package) for name, package in packages.items()},
    }


def _identity(model, training, validation, batch_size, seed, class_weight, settings) -> dict:
    """Describe a run; two runs with the same description may go on from each other."""
    import keras

    description = {
        "network": describe_layers(model),
        "frozen_weights": _frozen_weights(model),
        "optimizer": _nameless(keras.saving.serialize_keras_object(model.optimizer)),
        "loss": _nameless(keras.saving.serialize_keras_object(model.loss)),
        "n_training": len(training[1]),
        "n_validation": len(validation[1]),
        "images": [_content(part[0]) for part in (training, validation)],
        "labels": [_content(part[1]) for part in (training, validation)],
        "batch_size": batch_size,
        "seed": seed,
        "class_weight": {str(key): value for key, value in (class_weight or {}).items()},
        **(settings or {}),
    }
    return json.loads(json.dumps(description, default=float))


def _content(array: np.ndarray) -> str:
    """Return what tells one set of images, features or labels from another, or from the same in another order."""
    if _on_disk(array):
        # The file is named after everything that its features depend on.
        return f"{Path(array.filename).stem} {array.shape}"
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    digest.update(array.data)
    return digest.hexdigest()


def checksum(weights: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 over the bytes of arrays, one after another, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight).view(np.uint8).data)
    return digest.hexdigest()


def _frozen_weights(model) -> str:
    """Return a checksum of the weights that training does not change, such as a backbone's from ImageNet."""

    def frozen(layers):
        for layer in layers:
            if getattr(layer, "layers", None):
                yield from frozen(layer.layers)
            elif not layer.trainable:
                yield from layer.get_weights()

    return checksum(frozen(model.layers))


def describe_layers(model) -> dict:
    """Return the configuration of a model and all its layers, fit for JSON.

    A layer goes by its place in its model: Keras numbers the names that it gives anew each time.
    """
    return _without_names(model.get_config())


def _without_names(config: dict) -> dict:
    """Describe a model's configuration, and those of the models in it, with each layer's place instead of its name."""
    places = {layer["config"]["name"]: place for place, layer in enumerate(config["layers"])}

    def placed(part):
        """Replace the names in what is called with what, and in the model's inputs and outputs."""
        if isinstance(part, dict):
            return {key: placed(value) for key, value in part.items()}
        if isinstance(part, list | tuple):
            # A tensor is written as [name of the layer, which of its calls, which of its outputs].
            if len(part) == 3 and isinstance(part[0], str) and part[0] in places:
                return [places[part[0]], *part[1:]]
            return [placed(value) for value in part]
        return part

    layers = []
    for layer in config["layers"]:
        inside = layer["config"]
        inside = _without_names(inside) if "layers" in inside else {**_nameless(inside), "name": None}
        calls = placed(layer.get("inbound_nodes", []))
        layers.append({"class_name": layer["class_name"], "config": inside, "calls": calls})
    ends = {key: placed(config[key]) for key in ("input_layers", "output_layers") if key in config}
    return {"layers": layers, **ends, "trainable": config.get("trainable")}


def _nameless(part):
    """Leave out, at any depth, the names that Keras makes of a class and a running number, such as "adam_1"."""
    if isinstance(part, list | tuple):
        return [_nameless(value) for value in part]
    if not isinstance(part, dict):
        return part
    inside = part.get("config")
    name = inside.get("name") if isinstance(inside, dict) else None
    if name and re.fullmatch(rf"{re.escape(part.get('class_name', '')).lower()}\d*", str(name).replace("_", "")):
        part = {**part, "config": {key: value for key, value in inside.items() if key != "name"}}
    return {key: _nameless(value) for key, value in part.items()}


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


SAVED_AT_ONCE = 0.5
"""Seconds: what is saved faster than this is saved after every epoch."""


def _epoch_keeper(folder: Path, best_file: Path, history: pd.DataFrame, patience: int | None):
    """Return a callback that saves the model, the best model and the history after each epoch.

    Where saving takes longer than a fifth of the time since it was done last, it waits for a later epoch.
    """
    import keras

    from fer_utils.augmentation import without_augmentation

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
