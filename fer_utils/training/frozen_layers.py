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

from fer_utils.common.errors import UserError
from fer_utils.models.layers import _leaves
from fer_utils.training.feature_store import compute


def split_frozen(model):
    """Cut a model where its frozen beginning ends.

    Layers without weights, such as pooling, go with the frozen ones; layers that draw random numbers in training, such
    as dropout or augmentation, do not. A backbone that is a layer of the model is cut inside if part of it is frozen.
    Where the tail begins with batch normalisation and average pooling, as notebook 06's head does, the frozen part ends
    in two numbers a channel, which is all that these need (see `fer_utils.acceleration.pooled_normalisation`).

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
    from fer_utils.acceleration.pooled_normalisation import shorten

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
