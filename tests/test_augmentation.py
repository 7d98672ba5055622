"""The augmentation acts in training, and only there."""

import numpy as np
import pytest

from fer_utils import augmentation, evaluation
from fer_utils.quiet import load_keras

keras = load_keras()


@pytest.fixture
def faces():
    from helpers import picture

    return np.stack([picture(i) for i in range(16)])[..., np.newaxis].astype("float32")


def apply(layer, faces, training=True):
    return keras.ops.convert_to_numpy(layer(faces, training=training))


@pytest.mark.parametrize("name", ["rotation", "shift", "shear", "zoom", "flip"])
def test_each_changes_pictures_in_training_only(name, faces):
    layer = augmentation.transformations()[name]
    changed = apply(layer, faces)
    assert changed.shape == faces.shape and changed.dtype == np.float32
    assert not np.allclose(changed, faces)
    assert changed.min() >= -1 and changed.max() <= 256, "grey levels stay in range"
    np.testing.assert_array_equal(apply(layer, faces, training=False), faces)


def test_settings_are_the_original_ones():
    config = {name: layer.get_config() for name, layer in augmentation.transformations().items()}
    assert config["rotation"]["factor"] == pytest.approx((-40 / 360, 40 / 360))
    assert config["shift"]["height_factor"] == 0.2 and config["shift"]["width_factor"] == 0.2
    assert config["shear"]["x_factor"] == (0, 0.2)
    assert config["flip"]["mode"] == "horizontal"


def test_flip_mirrors_left_and_right(faces):
    flipped = apply(augmentation.transformations()["flip"], faces)
    mirrored = faces[:, :, ::-1]
    for result, plain, mirror in zip(flipped, faces, mirrored, strict=True):
        assert np.array_equal(result, plain) or np.array_equal(result, mirror)


def test_seeded(faces):
    first, again, other = (apply(augmentation.augmenter(seed), faces) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_model_shares_weights_and_predicts_without_augmentation(tiny_model, faces):
    model = tiny_model(compiled=False)
    augmented = augmentation.with_augmentation(model, seed=0)
    images = faces[..., 0].astype(np.uint8)
    np.testing.assert_allclose(evaluation.predict(augmented, images), evaluation.predict(model, images), atol=1e-5)
    assert augmented.count_params() == model.count_params()


def test_augmented_model_can_be_saved_and_loaded(tiny_model, tmp_path, faces):
    augmented = augmentation.with_augmentation(tiny_model(compiled=False), seed=0)
    augmented.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    images = faces[..., 0].astype(np.uint8)
    np.testing.assert_allclose(evaluation.predict(loaded, images), evaluation.predict(augmented, images), atol=1e-6)
