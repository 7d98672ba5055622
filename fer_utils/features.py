"""What the frozen part of a network makes of each picture, computed once and kept.

A frozen layer gives the same answer to the same picture in every epoch. So a network that begins with frozen layers is
cut in two: the *frozen part* turns each picture into numbers (its features) a single time, and only the *tail* is
trained, on these. Nothing is approximated but the number format of what is kept. Donahue et al. 2014, "DeCAF"
(arXiv:1310.1531) made such features known; Keras's guide to transfer learning calls it feature extraction.

    frozen, tail = split_frozen(model)
    x = compute(frozen, images)            # float16 (n, …) on disk, a memory map
    tail.predict(x)                        # what model.predict(images) gives

The tail shares its layers with the model: what one learns, the other knows. `training.train(…, frozen_once=True)` does
all of this.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from fer_utils.errors import UserError
from fer_utils.paths import cache_folder

VERSION = 1
CHUNK_BYTES = 64 * 2**20
"""Features computed before they are written: what this needs of memory, besides one batch inside the network."""
ACTIVATION_BYTES = 256 * 2**20
"""What the largest answer of a layer may take for one batch; a network holds a few of that size at a time."""
MOST_BYTES_KEPT = 20 * 2**30
"""Beyond this, the features that were not used for longest are removed."""
FLOAT16_RANGE = (2.0**-8, 2.0**15)
"""Where the largest feature must lie for float16, which has 11 significant bits from 2⁻¹⁴ to 2¹⁶."""


def split_frozen(model):
    """Cut a model where its frozen beginning ends.

    Layers without weights, such as pooling, go with the frozen ones; layers that draw random numbers in training, such
    as dropout or augmentation, do not. A backbone that is a layer of the model is cut inside if part of it is frozen.
    Where the tail begins with batch normalisation and average pooling, as notebook 06's head does, the frozen part ends
    in two numbers a channel, which is all that these need (see `fer_utils.pooled_normalisation`).

    Args:
        model: a functional or sequential keras.Model with one input and one output.

    Returns:
        (frozen part, tail), two keras.Models that share their layers with `model`, neither of them compiled.
        `tail(frozen(x))` equals `model(x)`.

    Raises:
        UserError: if the model does not begin with frozen layers, or has nothing to train.
    """
    import keras

    if not getattr(model, "inputs", None) or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UserError("only a functional or sequential model with one input and one output has a frozen part to cut")
    if not model.trainable_weights:
        raise UserError("every layer of this model is frozen: set trainable = True on what is to be trained")
    cut, after = _find_cut(model)
    inner, outputs = after.operation, model.outputs[0]
    cut_inside, after_inside = _find_cut(inner) if _is_model(inner) and after.input_tensors == [cut] else (None, None)
    if cut_inside is None or _is_input(cut_inside):
        frozen = keras.Model(model.inputs, cut)
        tail = keras.Model(cut, outputs, name=f"{model.name}_tail") if frozen.weights else None
    else:
        frozen = _up_to(model, cut, inner, cut_inside)
        # If the model calls its backbone with training=False, so must the tail (`fit` overrides both).
        said = {key: value for key, value in after.arguments.kwargs.items() if key == "training"}
        tail = _from(cut_inside, after, outputs, f"{model.name}_tail", **said)
    if not frozen.weights:
        # Resizing and rescaling alone are not worth keeping: their answers are larger than the pictures.
        raise UserError(_nothing_frozen((after_inside or after).operation))
    from fer_utils.pooled_normalisation import shorten

    return shorten(frozen, tail)


def split_on_the_way(model, frozen, trained_later: list):
    """Cut the frozen part once more, where a later stage will begin to train.

    Args:
        model: what `frozen` is the frozen part of.
        frozen: from `split_frozen`.
        trained_later: layers of a backbone that is a layer of the model, all of them frozen now.

    Returns:
        (what the frozen part of the model will be then, what leads from there to the end of `frozen`), two
        keras.Models; None where there is nothing to gain, because the later stage trains from the very beginning.
    """
    before = [layer.trainable for layer in trained_later]
    try:
        for layer in trained_later:
            layer.trainable = True
        cut, after = _find_cut(model)
        inner = after.operation if after else None
        if cut is None or not _is_model(inner) or after.input_tensors != [cut]:
            return None
        cut_inside, _ = _find_cut(inner)
    finally:
        for layer, value in zip(trained_later, before, strict=True):
            layer.trainable = value
    if cut_inside is None or _is_input(cut_inside):
        return None
    earlier = _up_to(model, cut, inner, cut_inside)
    if not earlier.weights:
        return None
    return earlier, _from(cut_inside, after, frozen.outputs[0], frozen.name, training=False)


def _up_to(model, cut, inner, cut_inside):
    """Return the model from the whole one's input to a tensor inside its backbone, which begins at `cut`."""
    import keras

    return keras.Model(model.inputs, keras.Model(inner.inputs, cut_inside)(cut, training=False))


def _from(cut_inside, backbone_call, output, name: str, **said):
    """Return the model from a tensor inside the backbone to an output of the whole model."""
    import keras

    end = keras.Model(cut_inside, backbone_call.operation.outputs[0])
    inputs = keras.Input(batch_shape=cut_inside.shape, dtype=cut_inside.dtype, name="features")
    answer, whole = end(inputs, **said), backbone_call.output_tensors[0]
    return keras.Model(inputs, answer if output is whole else keras.Model(whole, output)(answer), name=name)


def compute(
    frozen, images: np.ndarray, batch_size: int = 64, progress: bool = True, on_the_way: tuple | None = None
) -> np.ndarray:
    """Return the frozen part's answer to each picture; what was computed before is only opened.

    The answers are kept in the cache folder, in a file named after the frozen weights, the layers, the number format
    that they compute in, and the pictures. They are written as they are computed, so memory stays bounded, and an
    interrupted computation goes on where it stopped. Kept is float16: it has more significant bits than bfloat16 (11
    against 8), so what a network computed in bfloat16 is kept exactly, and of float32 about three digits remain, with
    half the disk and half the reading. Should the features be too large or too small for float16, float32 is kept.

    Args:
        frozen: from `split_frozen`.
        images: uint8 (n, 48, 48).
        batch_size: pictures that go through the network at once; fewer where their maps would take too much memory.
        progress: whether to show a progress bar.
        on_the_way: from `split_on_the_way`: the features of a later stage are kept too, and these computed from them.

    Returns:
        float16 or float32 (n, …), a read-only memory map.

    Raises:
        UserError: if the cache folder cannot be written or has too little room.
    """
    import filelock

    from fer_utils.prompt_epochs import prompt_epochs

    folder = cache_folder() / "features"
    path = folder / f"{_key(frozen, images)}.npy"
    through, given = frozen, images
    if on_the_way and not path.is_file():
        given, through = compute(on_the_way[0], images, batch_size, progress), on_the_way[1]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Without a time limit: another process may take hours for them, and the lock goes when it does.
        with filelock.FileLock(f"{path}.lock"):
            if not path.is_file():
                with prompt_epochs():
                    _compute_all(through, given, path, _bounded(batch_size, through), progress)
                _prune(folder, keep=path)
            # The time of the last use, for pruning.
            os.utime(path)
        return np.load(path, mmap_mode="r")
    except OSError as error:
        raise UserError(
            f"the features cannot be kept in {folder} ({error.strerror or error}): set $FER_CACHE to another folder, "
            "or train without frozen_once"
        ) from error


def only_tail(model, training: tuple, validation: tuple, batch_size: int = 64, trained_later: list = ()) -> tuple:
    """Replace a model by its tail, and pictures by their features.

    Args:
        model: compiled; begins with frozen layers.
        training: (images uint8 (n, 48, 48), labels int64 (n,)).
        validation: the same.
        batch_size: pictures that go through the frozen part at once.
        trained_later: layers that a later stage trains as well; its features are kept on the way to these.

    Returns:
        (tail, compiled as the model is; training with features instead of images; validation likewise).

    Raises:
        UserError: as `split_frozen` and `compute`.
    """
    frozen, tail = split_frozen(model)
    tail.compile_from_config(model.get_compile_config())
    on_the_way = split_on_the_way(model, frozen, trained_later) if trained_later else None
    parts = [
        (compute(frozen, images, batch_size, on_the_way=on_the_way), labels)
        for images, labels in (training, validation)
    ]
    n, size = sum(len(labels) for _, labels in parts), sum(features.nbytes for features, _ in parts)
    print(
        f"{frozen.count_params():,} of {model.count_params():,} parameters are in frozen layers at the beginning.\n"
        f"They are computed once for {n:,} pictures; {size / 2**20:,.0f} MB are kept on disk"
        f"{', besides what a later stage begins with' if on_the_way else ''}."
    )
    return tail, *parts


def batches(features: np.ndarray, labels: np.ndarray, batch_size: int, seed: int | None = None, first_epoch: int = 0):
    """Return a keras.utils.PyDataset that reads a memory map batch by batch; `fit` alone would load all of it.

    Args:
        features: float (n, …).
        labels: int64 (n,).
        batch_size: rows in a batch.
        seed: shuffles the rows anew in each epoch; None keeps their order.
        first_epoch: the number of the first epoch, so that resumed training draws the orders that it would have drawn.
    """
    import keras

    class Batches(keras.utils.PyDataset):
        def __init__(self):
            super().__init__()
            self.epoch = first_epoch
            self.shuffle()

        def shuffle(self):
            n = len(labels)
            self.order = np.arange(n) if seed is None else np.random.default_rng([seed, self.epoch]).permutation(n)

        def __len__(self):
            return -(-len(labels) // batch_size)

        def __getitem__(self, index):
            # In the order of the file, which a disk reads faster; within a batch the order changes nothing.
            rows = np.sort(self.order[index * batch_size : (index + 1) * batch_size])
            return np.asarray(features[rows], np.float32), labels[rows]

        def on_epoch_end(self):
            self.epoch += 1
            self.shuffle()

    return Batches()


def _is_model(layer) -> bool:
    return bool(getattr(layer, "layers", None)) and len(getattr(layer, "inputs", None) or ()) == 1


def _is_input(tensor) -> bool:
    return tensor._keras_history.operation._inbound_nodes[tensor._keras_history.node_index].is_input


def _nothing_frozen(layer) -> str:
    if _is_random(layer):
        return (
            f"the model begins with random layers ('{layer.name}'), so each epoch has other pictures and nothing can "
            "be computed once: train without augmentation, or without frozen_once"
        )
    return f"the model does not begin with frozen layers ('{layer.name}' is trained): set its trainable to False first"


def _leaves(layer) -> Iterator:
    inside = getattr(layer, "layers", None)
    if not inside:
        yield layer
    for part in inside or ():
        yield from _leaves(part)


def _is_random(layer) -> bool:
    from keras.random import SeedGenerator

    # Keras gives every layer that draws random numbers a generator of its own, under several names.
    return any(isinstance(value, SeedGenerator) for leaf in _leaves(layer) for value in vars(leaf).values())


def _is_frozen(layer) -> bool:
    return not _is_random(layer) and not any(
        getattr(leaf, "trainable", False) and getattr(leaf, "weights", ()) for leaf in _leaves(layer)
    )


def _nodes_in_order(model) -> list:
    """Return the calls that a model consists of, each after those whose outputs it takes."""
    found, order = set(), []

    def visit(tensor):
        history = tensor._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        waiting = [(node, iter(node.input_tensors))]
        while waiting:
            node, inputs = waiting[-1]
            if id(node) in found:
                waiting.pop()
                continue
            for needed in inputs:
                history = needed._keras_history
                before = history.operation._inbound_nodes[history.node_index]
                if id(before) not in found:
                    waiting.append((before, iter(before.input_tensors)))
                    break
            else:
                found.add(id(node))
                order.append(node)
                waiting.pop()

    for tensor in model.outputs:
        visit(tensor)
    return order


def _find_cut(model) -> tuple:
    """Return (the last tensor that all paths go through and that only frozen layers lead to, the first other call)."""
    nodes = _nodes_in_order(model)
    last_use = {id(tensor): len(nodes) for tensor in model.outputs}
    for position, node in reversed(list(enumerate(nodes))):
        for tensor in node.input_tensors:
            last_use.setdefault(id(tensor), position)
    alive, cut = {}, None
    for position, node in enumerate(nodes):
        if not _is_frozen(node.operation):
            return cut, node
        alive.update({id(tensor): tensor for tensor in node.output_tensors})
        alive = {key: tensor for key, tensor in alive.items() if last_use.get(key, -1) > position}
        if len(alive) == 1:
            (cut,) = alive.values()
    return cut, None


def _key(frozen, images: np.ndarray) -> str:
    """Return a name that changes with anything that the features depend on."""
    from fer_utils.training import describe_layers

    formats = [str(layer.dtype_policy) for layer in frozen.layers]
    about = [VERSION, _without_flags(describe_layers(frozen)), frozen.input_shape, formats]
    digest = hashlib.sha256(json.dumps(about, default=str).encode())
    for weight in frozen.get_weights():
        digest.update(np.ascontiguousarray(weight).view(np.uint8).reshape(-1).data)
    digest.update(repr(images.shape).encode())
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()[:24]


def _without_flags(part):
    """Leave out, at any depth, whether a layer is to be trained: here none is, whatever those without weights say."""
    if isinstance(part, dict):
        return {key: _without_flags(value) for key, value in part.items() if key != "trainable"}
    return [_without_flags(value) for value in part] if isinstance(part, list | tuple) else part


def _bounded(batch_size: int, frozen) -> int:
    """Return a batch size with which no layer's answer takes more than `ACTIVATION_BYTES`, counted as float32."""
    shapes = [leaf.output.shape[1:] for leaf in _leaves(frozen) if hasattr(leaf.output, "shape")]
    largest = 4 * max(int(np.prod(shape)) for shape in shapes)
    return max(1, min(batch_size, ACTIVATION_BYTES // largest))


def _compute_all(frozen, images: np.ndarray, path: Path, batch_size: int, progress: bool) -> None:
    """Fill `path` with the features of all images, going on with what an earlier call left unfinished."""
    from fer_utils.training import as_input

    part, note = path.with_suffix(".part"), path.with_suffix(".json")
    shape = (len(images), *frozen.output_shape[1:])
    n_bytes = 4 * int(np.prod(shape[1:]))
    step = max(1, CHUNK_BYTES // n_bytes // batch_size) * batch_size

    def answers(start: int, n: int = step) -> np.ndarray:
        # predict() may see a shorter last batch; its rows are the same.
        x = as_input(images[start : start + n])
        # Features of an earlier layer, which no TensorFlow kernel takes as they are kept.
        x = x.astype(np.float32) if x.dtype == np.float16 else x
        return np.asarray(frozen.predict(x, batch_size, verbose=0), np.float32)

    # One batch tells how large the numbers are; were it wrong about the rest, `_fill` would notice.
    largest = np.abs(answers(0, batch_size)).max()
    formats = (np.float16, np.float32) if FLOAT16_RANGE[0] <= largest < FLOAT16_RANGE[1] else (np.float32,)
    for dtype in formats:
        done, kept = _open_part(part, note, shape, dtype, path.parent)
        with tqdm(
            total=len(images), initial=done, desc="frozen layers", unit="image", disable=not progress, leave=False
        ) as bar:
            fits = _fill(kept, done, step, answers, note, bar)
        # Windows neither renames nor replaces a file that is mapped.
        del kept
        if fits:
            break
    os.replace(part, path)
    note.unlink(missing_ok=True)


def _open_part(part: Path, note: Path, shape: tuple, dtype, folder: Path) -> tuple[int, np.memmap]:
    """Return (rows that are there already, the unfinished file open for writing)."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        known = json.loads(note.read_text(encoding="utf-8"))
        kept = np.load(part, mmap_mode="r+")
        if kept.shape == shape and kept.dtype == dtype:
            return int(known["rows"]), kept
    needed = int(np.prod(shape)) * np.dtype(dtype).itemsize
    free = shutil.disk_usage(folder).free
    if needed > 0.9 * free:
        raise UserError(
            f"the features need {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB free: set $FER_CACHE to "
            "another folder, take a smaller IMAGE_SIZE, or train without frozen_once"
        )
    note.unlink(missing_ok=True)
    return 0, np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape)


def _fill(kept: np.memmap, done: int, step: int, answers: Callable, note: Path, bar) -> bool:
    """Write the features from row `done` on; return False if they do not fit the number format."""
    for start in range(done, len(kept), step):
        rows = answers(start)
        with np.errstate(over="ignore"):
            kept[start : start + len(rows)] = rows
        if not np.isfinite(kept[start : start + len(rows)]).all() and np.isfinite(rows).all():
            return False
        # First the rows, then the note that they are there.
        kept.flush()
        note.write_text(json.dumps({"rows": start + len(rows)}), encoding="utf-8")
        bar.update(len(rows))
    return True


def _prune(folder: Path, keep: Path) -> None:
    """Remove the features that were not used for longest, until the rest is small enough."""
    found = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = keep.stat().st_size
    for path in found:
        if path == keep:
            continue
        total += path.stat().st_size
        if total > MOST_BYTES_KEPT:
            # Windows keeps what another process has open; then the next time.
            with contextlib.suppress(OSError):
                path.unlink()
                Path(f"{path}.lock").unlink(missing_ok=True)
