"""Epochs that do not wait for tf.data's tuning: the same batches in the same order, and Keras left as it was."""

import contextlib

import numpy as np
import pytest

from fer_utils import models, training
from fer_utils.acceleration import untuned_data
from fer_utils.models.keras_start import load_keras
from fer_utils.training.batches import batches

keras = load_keras()
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 48, 48), np.uint8)
LABELS = np.arange(40) % 7


@pytest.fixture
def adapters():
    found = untuned_data._adapters()
    if not found:
        pytest.skip("only TensorFlow reads through tf.data")
    return found


@pytest.fixture
def tuned(adapters, monkeypatch):
    """Whether each dataset that Keras iterates over is tuned while it is read."""
    from keras.src.backend.tensorflow import trainer

    seen, original = [], trainer.TFEpochIterator._get_iterator

    def looked_at(iterator):
        seen.append(iterator._distributed_dataset.options().autotune.enabled is not False)
        return original(iterator)

    monkeypatch.setattr(trainer.TFEpochIterator, "_get_iterator", looked_at)
    return seen


def network():
    keras.utils.set_random_seed(1)
    layers = keras.layers
    parts = [keras.Input((48, 48, 1)), layers.AveragePooling2D(12), layers.Flatten(), layers.Dense(7, "softmax")]
    model = keras.Sequential(parts)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_training_and_prediction_do_without_tuning(tuned, tmp_path):
    part = (IMAGES, LABELS)
    run = training.train(network(), part, part, name="run", output_dir=tmp_path, epochs=2, batch_size=8)
    models.predict(run.model, IMAGES)
    assert len(tuned) >= 4 and not any(tuned)
    run.model.predict(IMAGES[..., None], verbose=0)
    assert tuned[-1], "what others call is left as it is"


def test_batches_from_a_file_do_without_tuning(tuned):
    few = batches(np.zeros((12, 3), np.float32), LABELS[:12], 4, seed=0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(7, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with untuned_data.prompt_epochs():
        model.fit(few, epochs=2, shuffle=False, verbose=0)
    assert tuned and not any(tuned)


def test_the_same_is_learned_in_the_same_order(adapters):
    def learned(context):
        model = network()
        with context:
            history = model.fit(IMAGES[..., None], LABELS, batch_size=8, epochs=3, verbose=0).history
        return history, model.get_weights()

    (history, weights), (expected, others) = learned(untuned_data.prompt_epochs()), learned(contextlib.nullcontext())
    assert history == expected
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_keras_gets_its_own_back_after_an_error(adapters):
    before = [adapter.get_tf_dataset for adapter in adapters]
    with pytest.raises(KeyError), untuned_data.prompt_epochs():
        assert [adapter.get_tf_dataset for adapter in adapters] != before
        raise KeyError
    assert [adapter.get_tf_dataset for adapter in adapters] == before
