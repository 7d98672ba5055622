"""What a network sees: Grad-CAM, the test whether its maps mean anything, and occlusion as a second opinion.

A heat map is an answer to "which region spoke for this class?", not a proof of anything. Maps that look just as
convincing for a network of random weights say nothing about what was learned, so the test comes with the method.

Works on every model of the series, also where the convolutions sit inside a nested backbone. The model is left as it
was: its weights are only read, and the randomisation test works on a clone.
"""

import contextlib

import numpy as np
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.explanation.gradients import gradient_function
from fer_utils.models.layers import leaves
from fer_utils.models.predict import predict

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

    every = leaves(model)
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
    """
    images, classes = checked(model, images, classes, batch_size)
    source, gradient = feature_layer(model, layer), gradient_function()
    maps = [
        _class_maps(model, source, gradient, images[rows], classes[rows], signed)
        for rows in _batches(len(images), batch_size, "Grad-CAM", progress)
    ]
    return np.concatenate(maps) if maps else np.empty(images.shape, np.float32)


def _rectifies(layer) -> bool:
    activation = getattr(layer, "activation", None)
    return activation is not None and activation.__name__ != "linear"


def checked(model, images, classes, batch_size) -> tuple[np.ndarray, np.ndarray]:
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

    last = leaves(model)[-1]
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
