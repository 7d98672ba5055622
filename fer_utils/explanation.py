"""What a network sees: Grad-CAM, the test whether its maps mean anything, and occlusion as a second opinion.

A heat map is an answer to "which region spoke for this class?", not a proof of anything. Maps that look just as
convincing for a network of random weights say nothing about what was learned, so the test comes with the method.

Works on every model of the series, also where the convolutions sit inside a nested backbone. The model is left as it
was: its weights are only read, and the randomisation test works on a clone.
"""

import contextlib
import random

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from tqdm.auto import tqdm

from fer_utils.errors import UserError
from fer_utils.evaluation import predict
from fer_utils.significance import bootstrap_interval

# Below this many batches a bar would only flicker.
BATCHES_WORTH_A_BAR = 4


def feature_layer(model, name: str | None = None):
    """Return the layer whose feature maps Grad-CAM reads.

    By default the last convolution and whatever only rescales, adds or rectifies its maps: of these the last that
    rectifies (its values say "present" or "absent"), or the last of all if none does. Where networks side by side put
    their maps together, it is the layer that does so. Nested models are searched too.

    Args:
        model: a keras.Model.
        name: of another layer, inside a nested backbone as well.

    Raises:
        UserError: if there is no layer of that name, or no convolution.
    """
    from keras import layers

    every = _leaves(model)
    if name is not None:
        found = [layer for layer in every if layer.name == name]
        if not found or len(getattr(found[0].output, "shape", ())) != 4:
            raise UserError(f"'{model.name}' has no layer '{name}' with feature maps: model.summary() lists them")
        return found[0]
    convolutions = (layers.Conv2D, layers.SeparableConv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose)
    rectifiers = (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU)
    neutral = (layers.BatchNormalization, layers.LayerNormalization, layers.GroupNormalization, layers.Add)
    neutral += (layers.Dropout, layers.SpatialDropout2D)
    last = max((i for i, layer in enumerate(every) if isinstance(layer, convolutions)), default=None)
    if last is None:
        raise UserError(f"'{model.name}' has no convolution, so it has no feature maps: use occlusion_map")
    chosen, rectified = every[last], _rectifies(every[last])
    for layer in every[last + 1 :]:
        if isinstance(layer, rectifiers):
            chosen, rectified = layer, True
        elif isinstance(layer, layers.Concatenate):
            chosen = layer
        elif not isinstance(layer, neutral):
            break
        elif not rectified:
            chosen = layer
    return chosen


def grad_cam(
    model,
    images: np.ndarray,
    classes=None,
    layer: str | None = None,
    signed: bool = False,
    batch_size: int = 32,
    progress: bool = True,
) -> np.ndarray:
    """Return where the feature maps spoke for a class (Selvaraju et al. 2017, "Grad-CAM", arXiv:1610.02391).

    Each feature map is weighted by the mean gradient of the class's score before the softmax; the weighted sum, its
    negative part cut off, is enlarged to the image. The enlarging is smooth and hides how coarse the maps are: look
    at `feature_layer(model).output.shape`.

    Args:
        model: a keras.Model, (n, height, width, 1) in 0..255 → (n, classes).
        images: uint8 (n, height, width).
        classes: one class for all, int (n,) for one each, or None for the class that the model predicts.
        layer: name of another layer to read; every way through the network should pass it.
        signed: keep the negative part too: where the feature maps spoke against the class.
        batch_size: images at once; it bounds the memory, not the result.
        progress: whether to show a progress bar if it takes several batches.

    Returns:
        float32 (n, height, width) in 0..1, the largest value of each map 1; all zeros where nothing spoke for it.
        Signed: in -1..1, the largest size 1.

    Raises:
        UserError: if the model has no convolution, a class does not exist, or Keras's backend has no gradients here.
    """  # fmt: skip
    images, classes = _checked(model, images, classes, batch_size)
    source, gradient = feature_layer(model, layer), _gradient_function()
    maps = [
        _class_maps(model, source, gradient, images[rows], classes[rows], signed)
        for rows in _batches(len(images), batch_size, "Grad-CAM", progress)
    ]
    return np.concatenate(maps) if maps else np.empty(images.shape, np.float32)


def occlusion_map(
    model,
    images: np.ndarray,
    classes=None,
    patch: int = 12,
    stride: int = 4,
    batch_size: int = 256,
    progress: bool = True,
) -> np.ndarray:
    """Return how much the probability of a class falls when a region is covered (Zeiler & Fergus 2014, section 4.2).

    Needs no gradient and no knowledge of the network, only predictions, about a hundred per image. The square that
    covers has the image's mean grey, which is itself a picture the network never saw.

    Args:
        model: a keras.Model, (n, height, width, 1) in 0..255 → probabilities (n, classes).
        images: uint8 (n, height, width).
        classes: one class for all, int (n,) for one each, or None for the class that the model predicts.
        patch: side of the square, in pixels.
        stride: pixels from one square to the next, at most `patch`.
        batch_size: covered images at once.
        progress: whether to show a progress bar.

    Returns:
        float32 (n, height, width): for each pixel the mean fall over all squares that cover it, in -1..1. Negative
        where covering made the class more probable.

    Raises:
        UserError: if patch and stride do not fit the images, or a class does not exist.
    """  # fmt: skip
    images, classes = _checked(model, images, classes, batch_size)
    height, width = images.shape[1:]
    if not 1 <= stride <= patch <= min(height, width):
        raise UserError(f"patch {patch} and stride {stride} must satisfy 1 <= stride <= patch <= {min(height, width)}")
    corners = [(top, left) for top in _starts(height, patch, stride) for left in _starts(width, patch, stride)]
    squares = [(slice(top, top + patch), slice(left, left + patch)) for top, left in corners]
    times = np.zeros((height, width), np.float32)
    for square in squares:
        times[square] += 1
    falls = np.zeros(images.shape, np.float32)
    whole = predict(model, images, batch_size) if len(images) else ()
    bar = tqdm(range(len(images)), "occlusion", unit="image", disable=not progress or len(images) < 2, leave=False)
    for i in bar:
        covered = np.repeat(images[i : i + 1], len(squares), axis=0)
        for copy, square in zip(covered, squares, strict=True):
            copy[square] = round(float(images[i].mean()))
        fall = whole[i, classes[i]] - predict(model, covered, batch_size)[:, classes[i]]
        for square, value in zip(squares, fall, strict=True):
            falls[i][square] += value
    return falls / times


def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the rank correlation of two stacks of maps, image by image (Spearman 1904; scipy computes it).

    Args:
        first: float (n, height, width).
        second: the same shape.

    Returns:
        float64 (n,) in -1..1; 0 where a map is constant, since it has no order to agree with.
    """
    return np.array([_rank_correlation(a, b) for a, b in zip(first, second, strict=True)])


def randomised(model, share: float = 1.0, seed: int = 0):
    """Return a clone of a model in which the layers nearest to the output have never learned anything.

    They get new random weights from their own initialisers; the others keep theirs (the cascading randomisation of
    Adebayo et al. 2018).

    Args:
        model: a keras.Model; it is not changed.
        share: of the layers that have weights, counted from the output, 0 to 1.
        seed: for the random weights.

    Raises:
        UserError: if the share is not between 0 and 1.
    """
    import keras

    if not 0 <= share <= 1:
        raise UserError(f"share must lie between 0 and 1, not {share}")
    # Keras draws the seeds of its initialisers from Python's generator, which belongs to the caller.
    kept = random.getstate()
    random.seed(seed)
    try:
        clone = keras.models.clone_model(model)
    finally:
        random.setstate(kept)
    pairs = list(zip(_with_weights(model), _with_weights(clone), strict=True))
    for trained, fresh in pairs[: len(pairs) - round(share * len(pairs))]:
        fresh.set_weights(trained.get_weights())
    return clone


def randomisation_check(
    model,
    images: np.ndarray,
    classes=None,
    layer: str | None = None,
    stages: int = 5,
    seed: int = 0,
    batch_size: int = 32,
    progress: bool = True,
) -> pd.DataFrame:
    """Test whether Grad-CAM depends on what was learned (Adebayo et al. 2018, arXiv:1810.03292).

    The network loses its weights from the output to the input, stage by stage, and its signed maps are compared with
    those of the intact network. Maps that hardly change show edges of the face and not what the network learned.

    Args:
        model: a keras.Model; it is not changed.
        images: uint8 (n, height, width), at least 2.
        classes: as in `grad_cam`; the intact model's predictions stand for None throughout.
        layer: as in `grad_cam`.
        stages: steps from the intact to the wholly random network.
        seed: for the random weights.
        batch_size: images at once.
        progress: whether to show a progress bar.

    Returns:
        One row a stage: share (of the layers with weights that are random), down to (the last layer reached),
        correlation (mean rank correlation with the intact maps), low and high (95 % bootstrap interval over the
        images), n. The last row, "another image", compares the intact maps with one another: as similar as that are
        any two maps, whatever they show.

    Raises:
        UserError: if there are fewer than 2 images or stages below 1.
    """  # fmt: skip
    if len(images) < 2 or stages < 1:
        raise UserError(f"the check needs at least 2 images and 1 stage, not {len(images)} and {stages}")
    images, classes = _checked(model, images, classes, batch_size)
    # Signed, since two maps without any positive part would have nothing to compare.
    settings = {"layer": layer, "signed": True, "batch_size": batch_size, "progress": False}
    intact = grad_cam(model, images, classes, **settings)
    names = [found.name for found in _with_weights(model)][::-1]
    rows = []
    for stage in tqdm(range(stages + 1), "randomising", unit="stage", disable=not progress, leave=False):
        share = stage / stages
        maps = grad_cam(randomised(model, share, seed), images, classes, **settings)
        reached = round(share * len(names))
        rows.append(_compared(f"{share:.0%}", names[reached - 1] if reached else "", similarity(intact, maps)))
    rows.append(_compared("another image", "", similarity(intact, np.roll(intact, 1, axis=0))))
    return pd.DataFrame(rows)


def right_and_wrong(labels: np.ndarray, probabilities: np.ndarray, n: int = 4) -> pd.DataFrame:
    """Pair images of the same label: one that the model names rightly, one that it gets wrong, both surely.

    Args:
        labels: int64 (n,).
        probabilities: float (n, 7).
        n: how many labels at most; those with the surest mistakes come first.

    Returns:
        One row a label that has both: label (its code), right and wrong (positions), predicted (what the wrong one
        was taken for).
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rows = []
    for label in np.unique(labels):
        right, wrong = (np.flatnonzero((labels == label) & hit) for hit in (predicted == labels, predicted != labels))
        if len(right) and len(wrong):
            surest_right, surest_wrong = (group[confidence[group].argmax()] for group in (right, wrong))
            rows.append((label, surest_right, surest_wrong, predicted[surest_wrong]))
    rows.sort(key=lambda row: -confidence[row[2]])
    return pd.DataFrame(rows[:n], columns=["label", "right", "wrong", "predicted"])


def _leaves(model) -> list:
    """List the layers in the order of computation, those of nested models in place of the models."""
    found = []
    for layer in model.layers:
        found.extend(_leaves(layer) if hasattr(layer, "layers") else [layer])
    return found


def _with_weights(model) -> list:
    return [layer for layer in _leaves(model) if layer.weights]


def _rectifies(layer) -> bool:
    activation = getattr(layer, "activation", None)
    return activation is not None and activation.__name__ != "linear"


def _checked(model, images, classes, batch_size) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, height, width) and one class for each, int64 (n,)."""
    images = np.asarray(images)
    if images.ndim != 3:
        raise UserError(f"images must have the shape (n, height, width), not {images.shape}")
    if classes is None:
        classes = predict(model, images, batch_size).argmax(axis=1) if len(images) else np.empty(0, np.int64)
    classes = np.broadcast_to(np.asarray(classes, np.int64), len(images))
    n_classes = model.output_shape[-1]
    if ((classes < 0) | (classes >= n_classes)).any():
        raise UserError(f"class {classes.min()} to {classes.max()} asked for: the model has 0 to {n_classes - 1}")
    return images, classes


def _batches(n: int, batch_size: int, title: str, progress: bool):
    starts = range(0, n, batch_size)
    hidden = not progress or len(starts) < BATCHES_WORTH_A_BAR
    return (slice(i, i + batch_size) for i in tqdm(starts, title, unit="batch", disable=hidden, leave=False))


def _starts(length: int, patch: int, stride: int) -> list[int]:
    """Positions of the squares along one side; the last one ends at the border, so that every pixel is covered."""
    return sorted({*range(0, length - patch + 1, stride), length - patch})


def _class_maps(model, source, gradient, images, classes, signed) -> np.ndarray:
    import cv2
    from keras import ops

    pixels = ops.convert_to_tensor(images[..., np.newaxis].astype(np.float32))
    wanted = ops.convert_to_tensor(np.eye(model.output_shape[-1], dtype=np.float32)[classes])
    captured, compute = [], source.call

    def keeping(*args, **kwargs):
        captured.append(compute(*args, **kwargs))
        return captured[-1]

    with _instead(source, "call", keeping):
        model(pixels, training=False)

    def scores_from(maps):
        # With the captured maps in its place, the layer hands them on, and the scores depend on nothing else.
        with _instead(source, "call", lambda *args, **kwargs: maps), _raw_scores(model):
            return ops.sum(ops.cast(model(pixels, training=False), "float32") * wanted)

    slopes = gradient(scores_from, captured[0])
    maps, slopes = (ops.convert_to_numpy(ops.cast(values, "float32")) for values in (captured[0], slopes))
    found = np.einsum("nhwc,nc->nhw", maps, slopes.mean(axis=(1, 2)))
    found = found if signed else np.maximum(found, 0)
    size = images.shape[:0:-1]
    found = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in found])
    highest = np.abs(found).max(axis=(1, 2), keepdims=True)
    return np.divide(found, highest, out=np.zeros_like(found), where=highest > 0)


@contextlib.contextmanager
def _instead(layer, name: str, value):
    """Let a layer's method be another function for a while; past Keras's own bookkeeping of attributes."""
    vars(layer)[name] = value
    try:
        yield
    finally:
        del vars(layer)[name]


@contextlib.contextmanager
def _raw_scores(model):
    """Leave out the softmax: its gradients vanish where the model is sure."""
    from keras import activations, layers

    last = _leaves(model)[-1]
    if isinstance(last, layers.Softmax):
        with _instead(last, "call", lambda x, *args, **kwargs: x):
            yield
    elif getattr(last, "activation", None) is activations.softmax:
        with _swapped_activation(last, activations.linear):
            yield
    else:
        yield


@contextlib.contextmanager
def _swapped_activation(layer, activation):
    kept, layer.activation = layer.activation, activation
    try:
        yield
    finally:
        layer.activation = kept


def _gradient_function():
    """Return a function (scalar function of a tensor, tensor) → gradient, for Keras's current backend."""
    import keras

    name = keras.backend.backend()
    found = {"tensorflow": _tensorflow_gradient, "torch": _torch_gradient, "jax": _jax_gradient}.get(name)
    if found is None:
        raise UserError(f"Grad-CAM needs gradients, which the backend '{name}' does not give: use tensorflow")
    return found


def _tensorflow_gradient(function, x):
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        result = function(x)
    return tape.gradient(result, x)


def _torch_gradient(function, x):
    import torch

    x = x.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(function(x), x)[0]


def _jax_gradient(function, x):
    import jax

    return jax.grad(function)(x)


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first.ravel(), second.ravel()).statistic)


def _compared(share: str, reached: str, values: np.ndarray) -> dict:
    low, high = bootstrap_interval(values, values, lambda drawn, _: drawn.mean())
    return {
        "share": share, "down to": reached, "correlation": float(values.mean()), "low": low, "high": high,
        "n": len(values),
    }  # fmt: skip
