"""The weights that ship are read as they were written, or not at all."""

import hashlib
import json

import numpy as np
import pytest

from fer_utils import models
from fer_utils.common import stored_weights
from fer_utils.common.errors import UserError
from fer_utils.models import face_weights
from fer_utils.models.keras_start import load_keras
from workshop.model.quantisation import quantised

keras = load_keras()


def network(filters=5):
    """A network as small as can be, with a kernel of whole numbers and without; of pictures of any size."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(filters, 3, name="block1_conv1")(inputs)
    x = keras.layers.BatchNormalization(name="block1_norm")(x)
    return keras.Model(inputs, keras.layers.MaxPooling2D(name="block1_pool")(x), name="vgg16")


def ship(backbone, folder, architecture="VGG16"):
    """Write a network's weights as they ship."""
    arrays = {}
    for layer in backbone.layers:
        for i, weight in enumerate(layer.get_weights()):
            name = f"{layer.name}/{i}"
            if weight.ndim == 4:
                arrays[name], arrays[f"{name}_scale"] = quantised(weight, 31)
            else:
                arrays[name] = weight.astype(np.float16)
    path = folder / face_weights.weights_file(architecture)
    np.savez_compressed(path, **arrays)
    about = {architecture: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "seed": 0}}
    (folder / face_weights.ABOUT_FILE).write_text(json.dumps(about))
    return path


@pytest.fixture
def shipped(tmp_path):
    backbone = network()
    backbone.set_weights([np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(backbone.get_weights())])
    return backbone, ship(backbone, tmp_path)


def test_kernels_come_back_within_half_a_step_and_the_rest_in_half_precision(shipped, tmp_path):
    original, _ = shipped
    again = network()
    face_weights.load_faces(again, "VGG16", tmp_path)
    for ours, theirs in zip(again.get_weights(), original.get_weights(), strict=True):
        if theirs.ndim == 4:
            step = np.abs(theirs).max(axis=(0, 1, 2)) / 31
            assert (np.abs(ours - theirs) <= 0.51 * step).all() and np.abs(ours - theirs).max() > 0
        else:
            np.testing.assert_array_equal(ours, theirs.astype(np.float16).astype(np.float32))


def test_what_is_known_of_them(shipped, tmp_path):
    assert face_weights.about_faces("VGG16", tmp_path)["seed"] == 0
    with pytest.raises(UserError, match="no weights of ResNet50V2 ship with the project: there are those of VGG16"):
        face_weights.about_faces("ResNet50V2", tmp_path)
    (tmp_path / face_weights.ABOUT_FILE).unlink()
    with pytest.raises(UserError, match="there are those of nothing"):
        face_weights.about_faces("VGG16", tmp_path)


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage, "vgg16_faces.npz is damaged .its checksum differs.: install the project anew"),
        (cut_short, "vgg16_faces.npz is damaged"),
        (lambda path: path.unlink(), "cannot read vgg16_faces.npz .No such file or directory."),
    ],
)
def test_a_damaged_or_missing_file_is_one_clear_line(shipped, tmp_path, spoil, message):
    spoil(shipped[1])
    with pytest.raises(UserError, match=message):
        face_weights.load_faces(network(), "VGG16", tmp_path)


def test_another_network_gets_none_of_them(shipped, tmp_path):
    wider, deeper = network(filters=6), network()
    deeper = keras.Model(deeper.inputs, keras.layers.Conv2D(2, 3, name="block2_conv1")(deeper.outputs[0]))
    for other, wrong in ((wider, "'block1_conv1/0' has .3, 3, 3, 6., they have one of .3, 3, 3, 5."), (deeper, "none")):
        before = other.get_weights()
        with pytest.raises(UserError, match=f"not the network that the weights that ship belong to: .*{wrong}"):
            face_weights.load_faces(other, "VGG16", tmp_path)
        for now, then in zip(other.get_weights(), before, strict=True):
            np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("architecture", ["VGG16", "ResNet50V2"])
def test_those_in_the_package_are_all_that_the_network_of_keras_has(architecture):
    """With the same names and shapes, so that `layers[:-3]` means the same."""
    backbone, weights = models.load_backbone(architecture, 48, "faces")
    assert weights.kind == "faces" and face_weights.about_faces(architecture)["trained_on"]
    with np.load(stored_weights.assets() / face_weights.weights_file(architecture)) as stored:
        shipped = {name.removesuffix("_scale") for name in stored}
    assert shipped == {f"{layer.name}/{i}" for layer in backbone.layers for i in range(len(layer.weights))}
    images = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3)).astype(np.float32)
    answers = backbone.predict(images, verbose=0)
    assert np.isfinite(answers).all() and answers.std() > 0
