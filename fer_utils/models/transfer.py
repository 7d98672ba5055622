"""The networks of the series, each taught once in its notebook and imported from here afterwards.

Every model takes images (n, 48, 48, 1) in 0..255 and returns probabilities float32 (n, 7) in the
order of `EMOTIONS`; rescaling, resizing and grey→RGB are layers of the model itself.
"""

import contextlib
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from fer_utils.common.errors import UserError
from fer_utils.common.labels import IMAGE_SIZE
from fer_utils.models.custom_cnn import INPUT_SHAPE, NORM_MOMENTUM, softmax_output
from fer_utils.models.face_weights import load_faces

SECONDS_FOR_A_REPLY = 20

FROM_FACES = (
    "from the weights that ship with this project: the same network, trained before on FER-2013's Training part at 48 "
    "pixels. What you see is transfer from other pictures of the same task, not from ImageNet."
)

# What `preprocess_input` of each backbone does, as a layer that can be saved. Caffe's order is blue, green,
# red; for a grey picture the three channels are equal and only the means stay different.
PREPROCESSING = {
    "VGG16": {"scale": 1.0, "offset": [-103.939, -116.779, -123.68]},
    "ResNet50V2": {"scale": 1 / 127.5, "offset": -1.0},
}


@dataclass(frozen=True)
class BackboneWeights:
    """Where a backbone's weights come from.

    `kind` is "imagenet", "faces", "file" or "random"; `message` says it in words.
    """

    kind: str
    message: str


def as_backbone_input(inputs, architecture: str, image_size: int):
    """Turn grey images (n, 48, 48, 1) in 0..255 into what an ImageNet backbone expects.

    Args:
        inputs: a Keras tensor.
        architecture: "VGG16" or "ResNet50V2".
        image_size: height and width that the backbone gets, in pixels.

    Returns:
        A Keras tensor (n, image_size, image_size, 3), scaled as the backbone's `preprocess_input` does.
    """
    from keras import layers

    x = layers.Resizing(image_size, image_size, name="resize")(inputs) if image_size != IMAGE_SIZE else inputs
    x = layers.Concatenate(name="grey_to_rgb")([x, x, x])
    return layers.Rescaling(**PREPROCESSING[architecture], name="preprocess")(x)


def load_backbone(architecture: str, image_size: int, weights: str = "imagenet", dataset=None):
    """Build a `keras.applications` network without its top, with the weights asked for if they can be had.

    Args:
        architecture: "VGG16" or "ResNet50V2".
        image_size: height and width of its input, in pixels, at least 32.
        weights: "imagenet" (downloaded once by Keras, then cached), "faces" (those that ship with the project, see
            `fer_utils.models.face_weights`), the path of a weights file, or "random".
        dataset: the `FerDataset` that the network will learn from. The "faces" weights have seen FER-2013's Training
            part, so they are for the embedded sample only.

    Returns:
        (keras.Model, BackboneWeights). If "imagenet" cannot be downloaded, the model starts from "faces" where those
        are allowed and there, else from random weights; the second value says so. What a broken download left behind
        is never loaded: Keras compares checksums, and downloads anew.

    Raises:
        UserError: if a weights file does not exist or does not fit, or "faces" is asked for on other data than the
            sample, or the files of "faces" are missing or damaged.
    """
    import keras

    build = getattr(keras.applications, architecture)
    shape = (image_size, image_size, 3)
    may_be_faces = dataset is None or dataset.is_sample

    def started_from(kind, message):
        model = build(include_top=False, weights=None, input_shape=shape)
        if kind == "faces":
            load_faces(model, architecture)
        return model, BackboneWeights(kind, message)

    if weights == "random":
        message = f"{architecture} starts from random weights, as asked; its score is not a transfer result."
        return started_from("random", message)
    if weights == "faces":
        if not may_be_faces:
            raise UserError(
                'WEIGHTS = "faces" learned from FER-2013\'s Training part, the pictures of your validation part among '
                "them, so nothing could be chosen or compared with them here: use 'imagenet', 'random' or a file"
            )
        return started_from("faces", f"{architecture} starts {FROM_FACES}")
    if weights != "imagenet":
        return _from_file(architecture, shape, weights)
    try:
        with _patience_for_downloads():
            model = build(include_top=False, weights="imagenet", input_shape=shape)
        return model, BackboneWeights("imagenet", f"{architecture} starts from its ImageNet weights.")
    # Keras raises a bare Exception for whatever the network did, so nothing narrower would catch it.
    except Exception:
        missing = f"The ImageNet weights of {architecture} are not on this machine and could not be downloaded"
    later = "For the ImageNet weights, connect once and run this notebook again, or set WEIGHTS to a file with them."
    reason = "the weights that ship with this project have seen your validation part"
    if may_be_faces:
        try:
            return started_from("faces", f"{missing}. So it starts {FROM_FACES} {later}")
        except UserError as error:
            reason = f"the weights that ship with this project cannot be had either ({error})"
    missing += f", and {reason}. So it starts from random weights: its score is not a transfer result."
    return started_from("random", f"{missing} {later}")


def _from_file(architecture: str, shape: tuple[int, int, int], weights: str):
    """Build a network with the weights of a file, as `load_backbone` does."""
    import keras

    path = Path(weights).expanduser()
    if not path.is_file():
        raise UserError(
            f"no such weights file: {path}; use 'imagenet', 'faces', 'random' or the path of a .weights.h5 file"
        )
    model = getattr(keras.applications, architecture)(include_top=False, weights=None, input_shape=shape)
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} does not fit {architecture} without its top ({reason})") from error
    return model, BackboneWeights("file", f"{architecture} starts from the weights in {path.name}.")


@contextlib.contextmanager
def _patience_for_downloads():
    """Give up on a silent network after a while, and keep the address out of the notebook (the bar stays)."""

    class WithoutAddress:
        def write(self, text):
            return len(text) if text.startswith("Downloading data from") else shown.write(text)

        def flush(self):
            shown.flush()

    shown, waited = sys.stdout, socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS_FOR_A_REPLY)
    try:
        with contextlib.redirect_stdout(WithoutAddress()):
            yield
    finally:
        socket.setdefaulttimeout(waited)


def vgg16_classifier(backbone, image_size: int):
    """Build notebook 05's network on a VGG16 backbone: pooling, one dense layer, seven probabilities.

    Args:
        backbone: VGG16 without its top, input (image_size, image_size, 3).
        image_size: in pixels.

    Returns:
        An uncompiled keras.Model, (n, 48, 48, 1) in 0..255 → float32 (n, 7).
    """
    import keras
    from keras import layers

    inputs = keras.Input(INPUT_SHAPE, name="image")
    x = backbone(as_backbone_input(inputs, "VGG16", image_size))
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dense(256, activation="relu", name="dense")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    return keras.Model(inputs, softmax_output(x), name="vgg16")


def resnet50_classifier(backbone, image_size: int):
    """Build notebook 06's network on a ResNet50V2 backbone: normalisation, pooling, dense 512, 256 and 128.

    Args:
        backbone: ResNet50V2 without its top, input (image_size, image_size, 3).
        image_size: in pixels.

    Returns:
        An uncompiled keras.Model, (n, 48, 48, 1) in 0..255 → float32 (n, 7).
    """
    import keras
    from keras import layers

    inputs = keras.Input(INPUT_SHAPE, name="image")
    # For whoever calls the model: `fit` overrides training=False (Keras issue 20285), so the batch normalisation of a
    # stage that is fine-tuned has to stay frozen to keep its statistics, as notebook 6 does.
    x = backbone(as_backbone_input(inputs, "ResNet50V2", image_size), training=False)
    x = layers.BatchNormalization(momentum=NORM_MOMENTUM, name="norm")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    for units in (512, 256, 128):
        x = layers.Dense(units, activation="relu", name=f"dense_{units}")(x)
        if units != 128:
            x = layers.Dropout(0.1, name=f"dropout_{units}")(x)
    return keras.Model(inputs, softmax_output(x), name="resnet50v2")
