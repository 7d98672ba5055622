"""What the frozen part of a network makes of each picture, computed once and kept.

A frozen layer gives the same answer to the same picture in every epoch. So a network that begins with frozen layers is
cut in two: the *frozen part* turns each picture into numbers (its features) a single time, and only the *tail* is
trained, on these. Nothing is approximated but the number format of what is kept. Donahue et al. 2014, "DeCAF"
(arXiv:1310.1531) made such features known; Keras's guide to transfer learning calls it feature extraction.

    frozen, tail = split_frozen(model)
    x = compute(frozen, images)            # float16 (n, …) on disk, a memory map
    in_batches(tail, x, 64)                # what predict(model, images) gives

The tail shares its layers with the model: what one learns, the other knows. `training.train(…, frozen_once=True)` does
all of this.
"""

import contextlib
from weakref import WeakKeyDictionary

import numpy as np

from fer_utils.common.errors import UserError
from fer_utils.models.layers import leaves
from fer_utils.models.predict import in_batches
from fer_utils.training.feature_store import compute

# Cutting a model again for each part would let TensorFlow translate it again. Both halves share the model's weights.
_cut_models = WeakKeyDictionary()


def split_frozen(model):
    """Cut a model at the last layer before anything is trained, or drawn at random, that everything goes through.

    Layers without weights, such as pooling, stay with the frozen ones. A backbone that is a layer of the model is cut
    inside if part of it is trained.

    Args:
        model: a functional keras.Model with one input and one output.

    Returns:
        (frozen part, tail), two keras.Models that share their layers with `model`, neither of them compiled.
        `tail(frozen(x))` equals `model(x)`.

    Raises:
        UserError: if the model does not begin with frozen layers, or has nothing to train.
    """
    import keras

    # A sequential one builds itself anew with each layer, so that its layers do not hang together.
    is_functional = getattr(model, "inputs", None) and not isinstance(model, keras.Sequential)
    if not is_functional or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UserError("only a functional model with one input and one output has a frozen part to cut")
    if not model.trainable_weights:
        raise UserError("every layer of this model is frozen: set trainable = True on what is to be trained")
    frozen, tail = _cut(model, model.outputs[0])
    if frozen is None or not frozen.weights:
        # Resizing and rescaling alone are not worth keeping: their answers are larger than the pictures.
        first = next(leaf for leaf in leaves(model) if _changes(leaf))
        if _is_random(first):
            raise UserError(
                f"the model begins with random layers ('{first.name}'), so each epoch has other pictures and nothing "
                "can be computed once: train without augmentation, or without frozen_once"
            )
        raise UserError(
            f"the model does not begin with frozen layers ('{first.name}' is trained): set its trainable to False first"
        )
    return frozen, tail


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
    earlier, rest = _cut(model, frozen.outputs[0], trained_later)
    return (earlier, rest) if earlier is not None and earlier.weights else None


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


def predict_frozen_once(model, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Return what `models.predict` does, with what the frozen layers made of these images when they were learned from.

    Args:
        model: begins with frozen layers.
        images: uint8 (n, 48, 48).
        batch_size: images at once.

    Raises:
        UserError: as `split_frozen` and `compute`.
    """
    if model not in _cut_models:
        _cut_models[model] = split_frozen(model)
    frozen, tail = _cut_models[model]
    return in_batches(tail, compute(frozen, images, min(batch_size, 64)), batch_size)


def _cut(model, end, later: list = ()) -> tuple:
    """Return (the model up to the cut, from there to the tensor `end`); (None, None) without a place for it."""
    import keras

    first = next(i for i, layer in enumerate(model.layers) if _changes(layer, later))
    backbone = model.layers[first]
    is_model = bool(getattr(backbone, "layers", None))
    inside = next((i for i, layer in enumerate(backbone.layers) if _changes(layer, later)), 0) if is_model else 0
    middle, rest = _crossing(backbone, inside, backbone.outputs[0]) if inside else (None, None)
    start = middle is not None and keras.Model(backbone.inputs, middle)
    if not start or not start.weights:
        cut, rest = _crossing(model, first, end)
        return (None, None) if cut is None else (keras.Model(model.inputs, cut), _named(rest, model))
    given = _answer(model, first - 1) if first else model.inputs[0]
    inputs = keras.Input(batch_shape=middle.shape, dtype=middle.dtype, name="features")
    answer, behind = rest(inputs), _answer(model, first)
    tail = keras.Model(inputs, answer if behind is end else keras.Model(behind, end)(answer))
    return keras.Model(model.inputs, start(given, training=False)), _named(tail, model)


def _crossing(model, before: int, end) -> tuple:
    """Return (the last tensor before a layer that all ways to the end go through, the model from there to the end)."""
    import keras

    for position in reversed(range(before)):
        tensor = _answer(model, position)
        # Keras refuses a model whose output can be reached past its input.
        with contextlib.suppress(ValueError):
            return tensor, keras.Model(tensor, end)
    return None, None


def _answer(model, position: int):
    """Return the tensor behind a layer; a model's own output is inside it, so that one is asked for by the next."""
    layer = model.layers[position]
    if not getattr(layer, "layers", None):
        return layer.output
    return model.layers[position + 1].input if position + 1 < len(model.layers) else model.outputs[0]


def _named(tail, model):
    tail.name = f"{model.name}_tail"
    return tail


def _changes(layer, later: list = ()) -> bool:
    """Return whether a layer may answer the same picture differently in the next epoch."""
    return any(
        _is_random(leaf) or (leaf.weights and (leaf.trainable or any(leaf is other for other in later)))
        for leaf in leaves(layer)
    )


def _is_random(layer) -> bool:
    from keras.random import SeedGenerator

    # Keras gives every layer that draws random numbers a generator of its own, under several names.
    return any(isinstance(value, SeedGenerator) for value in vars(layer).values())
