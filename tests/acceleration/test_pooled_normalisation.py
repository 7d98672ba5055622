"""Normalising and pooling from two numbers a channel is the same as doing it from the map."""

import numpy as np
import pytest

from fer_utils.acceleration.pooled_normalisation import PooledBatchNormalization, shorten
from fer_utils.models.keras_start import load_keras
from fer_utils.training.frozen_layers import split_frozen

keras = load_keras()
layers = keras.layers
X = np.random.default_rng(0).normal(2, 3, (12, 48, 48, 1)).astype(np.float32)
LABELS = np.arange(12) % 7


@pytest.fixture
def model():
    """A function that builds a frozen convolution with a head; `between` comes between normalisation and pooling."""

    def build(between=None, norm=None):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((48, 48, 1))
        convolution = layers.Conv2D(5, 3, strides=8, activation="relu", name="frozen")
        convolution.trainable = False
        x = (norm or layers.BatchNormalization(momentum=0.7, name="norm"))(convolution(inputs))
        x = layers.GlobalAveragePooling2D(name="average")(between(x) if between else x)
        model = keras.Model(inputs, layers.Dense(7, activation="softmax", name="probabilities")(x))
        model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
        return model

    return build


def test_training_moves_everything_as_training_the_whole_does(model):
    whole, cut = model(), model()
    frozen, tail = split_frozen(cut)
    assert frozen.output_shape == (None, 2, 5)
    tail.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    features = frozen.predict(X, verbose=0)
    for _ in range(4):
        losses = [network.train_on_batch(x, LABELS) for network, x in ((whole, X), (tail, features))]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for one, other in zip(whole.get_weights(), cut.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)
    assert not np.allclose(cut.get_layer("norm").get_weights()[2], 0), "the running mean has moved"
    np.testing.assert_allclose(whole.predict(X, verbose=0), tail.predict(features, verbose=0), atol=1e-4)


def test_saved_and_loaded_it_answers_the_same(model, tmp_path):
    frozen, tail = split_frozen(model())
    tail.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    features = frozen.predict(X, verbose=0)
    tail.train_on_batch(features, LABELS)
    tail.save(tmp_path / "tail.keras")
    loaded = keras.models.load_model(tmp_path / "tail.keras")
    np.testing.assert_allclose(loaded.predict(features, verbose=0), tail.predict(features, verbose=0), atol=1e-6)
    loaded.train_on_batch(features, LABELS)


@pytest.mark.parametrize(
    "changes",
    [{"between": layers.ReLU()}, {"norm": layers.LayerNormalization()}, {"norm": layers.BatchNormalization(axis=1)}],
    ids=["something between", "another normalisation", "another axis"],
)
def test_what_is_not_exactly_that_keeps_its_map(model, changes):
    frozen, tail = split_frozen(model(**changes))
    assert frozen.output_shape == (None, 6, 6, 5)
    assert shorten(frozen, tail) == (frozen, tail)


def test_a_normalisation_that_is_not_trained_uses_its_running_averages():
    norm = layers.BatchNormalization(scale=False, center=False)
    layer = PooledBatchNormalization(norm)
    layer.build((None, 2, 3))
    norm.moving_mean.assign([1.0, 2.0, 3.0])
    norm.moving_variance.assign([4.0 - norm.epsilon] * 3)
    norm.trainable = False
    moments = np.array([[[3.0, 4.0, 5.0], [99.0, 99.0, 99.0]]], np.float32)
    answer = keras.ops.convert_to_numpy(layer(moments, training=True))
    np.testing.assert_allclose(answer, [[1.0, 1.0, 1.0]], atol=1e-5)
