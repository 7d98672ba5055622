"""The gradient of a convolution by products: the same as TensorFlow's, and nothing of it stays in a model."""

import sys

import numpy as np
import pytest

import fer_utils.acceleration.convolution_gradient  # noqa: F401
from fer_utils.acceleration import convolution_gradient
from fer_utils.acceleration.convolution_gradient import (
    by_products,
    by_routine,
    faster_convolution_gradient,
    use_products,
)
from fer_utils.models.keras_start import load_keras

keras = load_keras()
layers = keras.layers
IMAGES = np.random.default_rng(0).normal(0, 1, (16, 5, 4, 3)).astype(np.float32)
LABELS = np.arange(16) % 2


@pytest.fixture(autouse=True)
def only_tensorflow():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow has the routine that this replaces")


@pytest.fixture
def used(monkeypatch):
    """Let narrow convolutions count as wide ones, on every machine; the shapes for which products were made."""
    shapes = []

    def noted(x, gradient, kernel_shape, padding):
        shapes.append(kernel_shape)
        return by_products(x, gradient, kernel_shape, padding)

    monkeypatch.setattr(
        sys.modules["fer_utils.acceleration.convolution_gradient"], "FEWEST_WEIGHTS", {"same": 1, "valid": 1}
    )
    monkeypatch.setattr(sys.modules["fer_utils.acceleration.convolution_gradient"], "speedup", lambda: 9.0)
    monkeypatch.setattr(sys.modules["fer_utils.acceleration.convolution_gradient"], "by_products", noted)
    return shapes


def network(dtype="mixed_bfloat16", convolution=layers.Conv2D, size=(5, 4), **settings):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((*size, 3))
    x = convolution(4, 3, **{"padding": "same", "activation": "relu", "dtype": dtype, "name": "first", **settings})(
        inputs
    )
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, dtype=dtype, name="second")(x)
    x = layers.GlobalAveragePooling2D(dtype=dtype)(x)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax", dtype="float32")(x))
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("kernel", [(3, 3), (5, 3), (1, 1)])
@pytest.mark.parametrize("size", [(5, 4), (3, 3), (3, 7)])
def test_the_gradient_is_that_of_the_routine(kernel, size):
    generator = np.random.default_rng(0)
    x, gradient = (generator.normal(size=(3, *size, channels)).astype(np.float32) for channels in (2, 5))
    shape = (*kernel, 2, 5)
    np.testing.assert_allclose(by_products(x, gradient, shape), by_routine(x, gradient, shape), atol=1e-4)


@pytest.mark.parametrize("kernel", [(3, 3), (5, 3), (1, 1)])
def test_the_gradient_is_that_of_the_routine_without_padding(kernel):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(3, 7, 6, 2)).astype(np.float32)
    gradient = generator.normal(size=(3, 8 - kernel[0], 7 - kernel[1], 5)).astype(np.float32)
    arguments = x, gradient, (*kernel, 2, 5), "VALID"
    np.testing.assert_allclose(by_products(*arguments), by_routine(*arguments), atol=1e-4)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_network_learns_the_same(used, padding):
    ours, keras_own = network(padding=padding), network(padding=padding)
    before = ours.get_weights()
    with faster_convolution_gradient(ours):
        ours.fit(IMAGES, LABELS, epochs=3, batch_size=6, shuffle=False, verbose=0)
    assert set(used) == {(3, 3, 3, 4), (3, 3, 4, 6)}
    keras_own.fit(IMAGES, LABELS, epochs=3, batch_size=6, shuffle=False, verbose=0)
    for start, found, expected in zip(before, ours.get_weights(), keras_own.get_weights(), strict=True):
        # Of what was learned, all but the rounding to 8 significant bits.
        assert np.abs(found - expected).max() <= 0.02 * np.abs(expected - start).max()


def test_the_network_can_be_called_meanwhile(used):
    """A callback may look at what the layers answer, outside of any traced step."""
    model = network()
    expected = model(IMAGES)
    with faster_convolution_gradient(model):
        np.testing.assert_allclose(model(IMAGES), expected, atol=0.01)


def test_a_trained_network_is_keras_own(used, tmp_path):
    model = network()
    with faster_convolution_gradient(model):
        assert "convolution_op" in vars(model.get_layer("first"))
        model.fit(IMAGES, LABELS, verbose=0)
        model.save(tmp_path / "model.keras")
    assert "convolution_op" not in vars(model.get_layer("first"))
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), atol=1e-6)


class Other(layers.Conv2D):
    """Somebody's own."""


@pytest.mark.parametrize(
    "settings",
    [
        {"dtype": "float32"},
        {"convolution": Other},
        {"strides": 2},
        {"dilation_rate": 2},
        {"kernel_size": 5},
        {"trainable": False},
    ],
)
def test_what_the_products_are_not_for_stays_as_it_was(used, settings):
    settings = dict(settings)
    size = settings.pop("kernel_size", None)
    model = network(**settings)
    if size:
        first = layers.Conv2D(4, size, padding="same", dtype="mixed_bfloat16", name="first")
        model = keras.Sequential([keras.Input((5, 4, 3)), first])
    assert model.get_layer("first") not in use_products(model)


@pytest.mark.parametrize("size", [(17, 4), (None, None)])
def test_a_large_map_is_left_to_the_routine(used, size):
    model = network(size=size)
    with faster_convolution_gradient(model):
        model.fit(np.zeros((4, 17, 4, 3), np.float32), LABELS[:4], verbose=0)
    assert not used


def test_narrow_kernels_are_left_to_the_routine(used, monkeypatch):
    monkeypatch.setattr(sys.modules["fer_utils.acceleration.convolution_gradient"], "FEWEST_WEIGHTS", {"same": 4 * 6})
    model = network()
    assert use_products(model) == [model.get_layer("second")]


def test_a_processor_that_is_no_faster_with_them_keeps_the_routine(used, monkeypatch):
    monkeypatch.setattr(sys.modules["fer_utils.acceleration.convolution_gradient"], "speedup", lambda: 1.1)
    assert not use_products(network())


def test_the_trial_asks_for_both_ways():
    convolution_gradient.speedup.cache_clear()
    assert 0 < convolution_gradient.speedup() < 100
