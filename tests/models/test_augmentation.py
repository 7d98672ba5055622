"""The augmentation acts in training, and only there; the one layer does what the five do."""

import numpy as np
import pytest
from scipy import stats

from fer_utils import models
from fer_utils.models.keras_start import load_keras

keras = load_keras()

SETTINGS = {"rotation": 40, "shift": 0.2, "shear": 0.2, "zoom": 0.2, "flip": True}
# What `affine_matrices` takes for "nothing happens".
AT_REST = {
    "angle": 0,
    "shift_x": 0,
    "shift_y": 0,
    "direction": -1,
    "shear_x": -1,
    "shear_y": -1,
    "zoom_x": 0,
    "zoom_y": 0,
    "mirrored": 1,
}
FILLED = {"fill_mode": "nearest", "dtype": "float32"}
PINNED = {
    "rotation": (lambda: keras.layers.RandomRotation((30 / 360, 30 / 360), **FILLED), {"angle": 0.75}),
    "shift": (
        lambda: keras.layers.RandomTranslation((0.1, 0.1), (0.15, 0.15), **FILLED),
        {"shift_x": 0.75, "shift_y": 0.5},
    ),
    "shear": (
        # With this seed the slant is positive, which Keras draws even where the size is given.
        lambda: keras.layers.RandomShear((0.1, 0.1), (0.15, 0.15), seed=3, **FILLED),
        {"shear_x": 0, "shear_y": 0.5},
    ),
    "zoom": (lambda: keras.layers.RandomZoom((0.1, 0.1), (-0.15, -0.15), **FILLED), {"zoom_x": -0.75, "zoom_y": 0.5}),
}


@pytest.fixture
def faces():
    from helpers import picture

    return np.stack([picture(i) for i in range(16)])[..., np.newaxis].astype("float32")


def apply(layer, faces, training=True):
    return keras.ops.convert_to_numpy(layer(faces, training=training))


@pytest.mark.parametrize("name", ["rotation", "shift", "shear", "zoom", "flip"])
def test_each_changes_pictures_in_training_only(name, faces):
    layer = models.transformations()[name]
    changed = apply(layer, faces)
    assert changed.shape == faces.shape and changed.dtype == np.float32
    assert not np.allclose(changed, faces)
    assert changed.min() >= -1 and changed.max() <= 256, "grey levels stay in range"
    np.testing.assert_array_equal(apply(layer, faces, training=False), faces)


def test_settings_are_the_original_ones():
    config = {name: layer.get_config() for name, layer in models.transformations().items()}
    assert config["rotation"]["factor"] == pytest.approx((-40 / 360, 40 / 360))
    assert config["shift"]["height_factor"] == 0.2 and config["shift"]["width_factor"] == 0.2
    assert config["shear"]["x_factor"] == (0, 0.2)
    assert config["flip"]["mode"] == "horizontal"


def test_flip_mirrors_left_and_right(faces):
    flipped = apply(models.transformations()["flip"], faces)
    mirrored = faces[:, :, ::-1]
    for result, plain, mirror in zip(flipped, faces, mirrored, strict=True):
        assert np.array_equal(result, plain) or np.array_equal(result, mirror)


def ramps(n=1):
    """Pictures whose two channels say where each pixel comes from: x and y. float32 (n, 48, 48, 2)."""
    y, x = np.mgrid[:48, :48].astype("float32")
    return np.repeat(np.stack([x, y], axis=-1)[np.newaxis], n, axis=0)


def warp(pictures, **drawn):
    from fer_utils.models.random_affine import affine_matrices

    matrix = keras.ops.convert_to_numpy(
        affine_matrices(np.array([list({**AT_REST, **drawn}.values())], "float32"), 48, 48, **SETTINGS)
    )
    return keras.ops.convert_to_numpy(
        keras.ops.image.affine_transform(pictures, matrix.reshape(1, 9)[:, :8], fill_mode="nearest")
    )


@pytest.mark.parametrize("name", PINNED)
def test_each_map_is_that_of_keras_layer(name):
    build, drawn = PINNED[name]
    expected = apply(build(), ramps())
    assert np.abs(expected - ramps()).max() > 2, "something moves"
    np.testing.assert_allclose(warp(ramps(), **drawn), expected, atol=1e-3)


def test_mirrored_map_mirrors():
    np.testing.assert_allclose(warp(ramps(), mirrored=-1), ramps()[:, :, ::-1], atol=1e-4)


def test_the_maps_are_composed_in_the_order_of_the_layers():
    expected = ramps()
    for build, _ in PINNED.values():
        expected = apply(build(), expected)
    drawn = {key: value for _, values in PINNED.values() for key, value in values.items()}
    inside = np.s_[:, 20:28, 20:28]
    np.testing.assert_allclose(warp(ramps(), **drawn)[inside], expected[inside], atol=1e-3)


def where_from(layer, n=3000):
    """Return what a layer's random maps do at the middle of a picture: place and four slopes, float (n, 6)."""
    changed = apply(layer, ramps(n))
    middle, right, below = changed[:, 23, 23], changed[:, 23, 24], changed[:, 24, 23]
    return np.concatenate([middle, right - middle, below - middle], axis=1)


@pytest.mark.parametrize("name", ["rotation", "shift", "shear", "zoom", "flip", "all"])
def test_the_one_layer_draws_as_the_layers_shown_do(name):
    keras.utils.set_random_seed(1)
    shown = models.transformations()
    chain = keras.Sequential(list(shown.values()) if name == "all" else [shown[name]])
    nothing = {} if name == "all" else {key: 0 for key in SETTINGS if key != name}
    ours = where_from(models.augmenter(seed=2, **nothing))
    theirs = where_from(chain)
    assert ours.std(axis=0).max() > 0.1
    for mine, expected in zip(ours.T, theirs.T, strict=True):
        # Rounded, so that a constant is one on both sides.
        assert stats.ks_2samp(mine.round(3), expected.round(3)).pvalue > 1e-3


def test_the_picture_is_interpolated_once(faces):
    def sharpness(pictures):
        return float(np.square(np.diff(pictures, axis=1)[:, 12:36, 12:36]).mean())

    noise = np.random.default_rng(0).uniform(0, 255, (64, 48, 48, 1)).astype("float32")
    chain = keras.Sequential(list(models.transformations().values()))
    assert sharpness(apply(models.augmenter(seed=0), noise)) > 1.5 * sharpness(apply(chain, noise))


def test_computes_in_float32_whatever_the_network_does(faces):
    before = keras.config.dtype_policy()
    expected = apply(models.augmenter(seed=1), faces)
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        np.testing.assert_array_equal(apply(models.augmenter(seed=1), faces), expected)
    finally:
        keras.config.set_dtype_policy(before)


def test_uint8_pictures_of_any_size():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 1)).astype(np.uint8)
    assert apply(models.augmenter(seed=1), pictures).shape == pictures.shape


def test_seeded(faces):
    first, again, other = (apply(models.augmenter(seed), faces) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_model_shares_weights_and_predicts_without_augmentation(tiny_model, faces):
    model = tiny_model(compiled=False)
    augmented = models.with_augmentation(model, seed=0)
    images = faces[..., 0].astype(np.uint8)
    np.testing.assert_allclose(models.predict(augmented, images), models.predict(model, images), atol=1e-5)
    assert augmented.count_params() == model.count_params()


def test_network_is_found_behind_the_augmentation(tiny_model):
    model = tiny_model(compiled=False)
    assert models.without_augmentation(models.with_augmentation(model)) is model
    assert models.without_augmentation(model) is model
    single = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Flatten()])
    assert models.without_augmentation(single) is single


def test_augmented_model_can_be_saved_and_loaded(tiny_model, tmp_path, faces):
    augmented = models.with_augmentation(tiny_model(compiled=False), seed=0)
    augmented.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    images = faces[..., 0].astype(np.uint8)
    np.testing.assert_allclose(models.predict(loaded, images), models.predict(augmented, images), atol=1e-6)
    layers = [model.get_layer("augmentation") for model in (loaded, augmented)]
    assert layers[0].get_config() == layers[1].get_config()


def test_the_changes_grow_from_nothing_to_their_full_size(faces):
    layer, full = (models.augmenter(seed=1, flip=False, **how) for how in ({"warm_up": 4}, {}))
    steps = [(apply(layer, faces), apply(full, faces)) for _ in range(6)]
    np.testing.assert_allclose(steps[0][0], faces, atol=1e-3, err_msg="nothing is changed in the first step")
    assert all(not np.allclose(gentle, strong, atol=1) for gentle, strong in steps[:4])
    for gentle, strong in steps[4:]:
        np.testing.assert_allclose(gentle, strong, atol=1e-2, err_msg="afterwards there is no difference")


def test_strength_is_a_share_of_every_size():
    config = models.augmenter(strength=0.5).get_config()
    assert {name: config[name] for name in SETTINGS} == {
        "rotation": 20,
        "shift": 0.1,
        "shear": 0.1,
        "zoom": 0.1,
        "flip": True,
    }
    assert models.augmenter(strength=0.5, shift=0.3).get_config()["shift"] == 0.3


def test_a_saved_model_knows_how_far_the_changes_had_grown(faces, tmp_path):
    inputs = keras.Input((48, 48, 1))
    model = keras.Model(inputs, models.augmenter(seed=1, warm_up=8)(inputs))
    for _ in range(3):
        apply(model, faces)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(apply(again, faces), apply(model, faces))


def test_a_model_saved_before_the_draws_were_counted_can_be_loaded(faces, tmp_path, monkeypatch):
    layer = models.augmenter(seed=1)
    monkeypatch.setattr(type(layer), "save_own_variables", keras.layers.Layer.save_own_variables)
    inputs = keras.Input((48, 48, 1))
    keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(apply(again, faces, training=False), faces)


def test_fit_counts_the_steps_of_the_warm_up(faces):
    model = models.with_augmentation(_network(), seed=1, warm_up=8)
    model.compile(loss="sparse_categorical_crossentropy")
    model.fit(faces, np.zeros(len(faces)), batch_size=4, epochs=1, verbose=0)
    layer = model.layers[1]
    assert float(layer._strength()) == 4 / 8


def _network():
    inputs = keras.Input((48, 48, 1))
    return keras.Model(inputs, keras.layers.Dense(7, activation="softmax")(keras.layers.Flatten()(inputs)))
