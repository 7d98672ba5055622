"""The network that ships, and its weights."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_utils.common.errors import UserError
from fer_utils.common.labels import IMAGE_SIZE
from fer_utils.common.stored_weights import WEIGHTS_FILE, assets, stored_weights
from fer_utils.models.custom_cnn import NORM_MOMENTUM, softmax_output


def load_shipped(path: str | Path | None = None):
    """Return the compact model as a keras.Model, (n, 48, 48, 1) in 0..255 → float32 (n, 7); calibrated, not mirrored.

    Args:
        path: another `compact.npz`, as `python -m workshop.model compact` writes it; by default the one in the package.

    Raises:
        UserError: if the file is missing or holds something else.
    """
    path = Path(path) if path else assets() / WEIGHTS_FILE
    if not path.is_file():
        raise UserError(f"no such model: {path}; train one with 'python -m workshop.model compact'")

    try:
        with np.load(path) as stored:
            network = json.loads(stored["about"].tobytes())["network"]
            weights = stored_weights(stored)
        model = compact_cnn(**network, normalisation=False)
        model.set_weights(weights)
    except Exception as error:  # NumPy, zipfile, zlib and Keras each have exceptions of their own for a damaged file.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} does not hold a compact model ({reason})") from error
    return model


def scaled_widths(widths: tuple[int, ...], factor: float) -> tuple[int, ...]:
    """Return numbers of channels times a factor, rounded to multiples of 8, which is what processors like."""
    return tuple(max(8, 8 * round(factor * width / 8)) for width in widths)


def compact_cnn(
    stem: int = 32,
    widths: Sequence[int] = (48, 96, 192),
    blocks: int = 2,
    dropout: float = 0.3,
    normalisation=None,
    image_size: int | None = IMAGE_SIZE,
    members: int = 1,
):
    """Build the small residual network that ships with the package, or several side by side.

    A 3×3 convolution at full size, then stages of residual blocks, each stage at half the height and width of the
    one before (He et al. 2016, arXiv:1512.03385; the shortcut averages before it projects, He et al. 2019,
    arXiv:1812.01187), global average pooling, and one dense layer.

    Args:
        stem: channels of the first convolution.
        widths: channels of each stage.
        blocks: residual blocks of two convolutions a stage.
        dropout: share of the pooled features that is dropped while training.
        normalisation: makes the layer that follows each convolution; by default Keras's BatchNormalization. False
            builds the network as it is shipped, with the normalisation folded into the convolutions.
        image_size: height and width of the input in pixels; None lets the network take any.
        members: networks side by side, of the same sizes, that share the input and the last layer: an ensemble in one
            forward pass (Dietterich 2000, "Ensemble methods in machine learning"; `compact.ensemble` joins such).

    Returns:
        An uncompiled keras.Model, (n, 48, 48, 1) in 0..255 → float32 (n, 7).
    """
    import keras
    from keras import layers

    if normalisation is None:
        normalisation = functools.partial(layers.BatchNormalization, momentum=NORM_MOMENTUM)
    sizes = stem, widths, blocks, normalisation
    inputs = keras.Input((image_size, image_size, 1), name="image")
    x = layers.Rescaling(1 / 64, offset=-2, name="rescale")(inputs)
    if members == 1:
        x = layers.ReLU(name=f"stage{len(widths)}_block{blocks}_relu2")(_feature_maps(x, "", *sizes))
    else:
        x = layers.Concatenate(name="members")([_feature_maps(x, member_prefix(i), *sizes) for i in range(members)])
        # Rectified once for all: were each rectified before, TensorFlow would move that here itself, and another step
        # of its optimizer would then give up with an error message.
        x = layers.ReLU(name="members_relu")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, softmax_output(x), name="compact_cnn")


def _feature_maps(x, prefix: str, stem: int, widths: Sequence[int], blocks: int, normalisation):
    """Return the last maps of a residual network, before they are rectified."""
    from keras import layers

    x = layers.ReLU(name=f"{prefix}stem_relu")(_convolution(x, stem, f"{prefix}stem", normalisation))
    for stage, width in enumerate(widths, start=1):
        for block in range(1, blocks + 1):
            name, strides = f"{prefix}stage{stage}_block{block}", 2 if block == 1 else 1
            shortcut = x
            if strides > 1:
                shortcut = layers.AveragePooling2D(2, padding="same", name=f"{name}_average")(x)
                shortcut = _convolution(shortcut, width, f"{name}_shortcut", normalisation, kernel=1)
            x = _convolution(x, width, f"{name}_1", normalisation, strides=strides)
            x = _convolution(layers.ReLU(name=f"{name}_relu1")(x), width, f"{name}_2", normalisation)
            x = layers.Add(name=f"{name}_add")([shortcut, x])
            if (stage, block) != (len(widths), blocks):
                x = layers.ReLU(name=f"{name}_relu2")(x)
    return x


def _convolution(x, width: int, name: str, normalisation, kernel: int = 3, strides: int = 1):
    """Add a convolution and what follows each of them; the bias is the normalisation's affair, if there is one."""
    from keras import layers

    x = layers.Conv2D(
        width,
        kernel,
        strides=strides,
        padding="same",
        use_bias=normalisation is False,
        name=f"{name}_conv",
        kernel_initializer="he_normal",
    )(x)
    return x if normalisation is False else normalisation(name=f"{name}_norm")(x)


def member_prefix(index: int) -> str:
    """Return what the names of a member's layers begin with in a `compact_cnn` of several; `index` counts from 0."""
    return f"member{index + 1}_"
