"""Batch normalisation by the fused kernel: the same as Keras's, and nothing of it stays in a model."""

import sys

import numpy as np
import pytest

import fer_utils.acceleration.normalisation_kernel  # noqa: F401
from fer_utils.acceleration.normalisation_kernel import fuse
from fer_utils.acceleration.normalisation_kernel import fused_normalisation as fused_while
from fer_utils.models.keras_start import load_keras

keras = load_keras()
layers = keras.layers
IMAGES = np.random.default_rng(0).normal(3, 2, (16, 4, 4, 3)).astype(np.float32)
LABELS = np.arange(16) % 2


@pytest.fixture(autouse=True)
def only_tensorflow():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow has the kernel")


def network(dtype="float32", **settings):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(3, 1, dtype=dtype)(inputs)
    x = layers.BatchNormalization(momentum=0.5, dtype=dtype, name="norm", **settings)(x)
    x = layers.GlobalAveragePooling2D(dtype=dtype)(layers.ReLU(dtype=dtype)(x))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax", dtype="float32")(x))
    # Far from what it begins with.
    for weight, value in zip(model.get_layer("norm").weights, (1.5, -0.2, 3.0, 4.0), strict=False):
        weight.assign([value, 2 * value, value / 3])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("mixed_bfloat16", 5e-2)])
def test_a_network_learns_the_same(dtype, tolerance):
    ours, keras_own = network(dtype), network(dtype)
    with fused_while(ours):
        ours.fit(IMAGES, LABELS, epochs=3, batch_size=8, shuffle=False, verbose=0)
    keras_own.fit(IMAGES, LABELS, epochs=3, batch_size=8, shuffle=False, verbose=0)
    for found, expected in zip(ours.get_weights(), keras_own.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_a_trained_network_is_keras_own(tmp_path):
    model = network()
    with fused_while(model):
        assert "call" in vars(model.get_layer("norm"))
        model.fit(IMAGES, LABELS, verbose=0)
        model.save(tmp_path / "model.keras")
    assert "call" not in vars(model.get_layer("norm"))
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("norm")) is layers.BatchNormalization
    np.testing.assert_allclose(loaded.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), atol=1e-6)


def test_a_frozen_layer_keeps_its_statistics():
    model = network()
    model.get_layer("norm").trainable = False
    before = model.get_layer("norm").get_weights()
    with fused_while(model):
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(IMAGES, LABELS, verbose=0)
    for found, expected in zip(model.get_layer("norm").get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("settings", [{"axis": 1}, {"scale": False}, {"center": False}])
def test_what_the_kernel_cannot_do_stays_as_it_was(settings):
    model = (
        network(**settings)
        if "axis" not in settings
        else keras.Sequential([keras.Input((4, 4, 3)), layers.BatchNormalization(**settings)])
    )
    assert fuse(model) == []


def test_a_network_inside_a_network_is_found_and_a_gpu_changes_nothing(monkeypatch):
    inner = network()
    outer = keras.Sequential([keras.Input((4, 4, 3)), inner])
    with fused_while(outer):
        assert "call" in vars(inner.get_layer("norm"))
    monkeypatch.setattr(sys.modules["fer_utils.acceleration.normalisation_kernel"], "only_processors", lambda: False)
    with fused_while(outer):
        assert "call" not in vars(inner.get_layer("norm"))
