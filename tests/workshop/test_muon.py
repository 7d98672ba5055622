"""Muon makes the step of a convolution even in every direction; everything else is Adam's."""

import numpy as np
import pytest

from fer_utils.common.errors import UserError
from fer_utils.models.keras_start import load_keras

keras = load_keras()

from fer_utils.acceleration.faster_fit import faster_fit  # noqa: E402
from workshop.custom_cnn import optimizer_of  # noqa: E402
from workshop.muon import ConvolutionMuon, evened  # noqa: E402

IMAGES = np.random.default_rng(0).normal(0, 1, (16, 6, 6, 1)).astype(np.float32)
LABELS = np.arange(16) % 2


def network(optimizer):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(inputs)
    x = keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="second")(x)
    outputs = keras.layers.Dense(2, activation="softmax", name="dense")(keras.layers.Flatten()(x))
    model = keras.Model(inputs, outputs)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fitted(model, epochs=1):
    model.fit(IMAGES, LABELS, epochs=epochs, batch_size=16, shuffle=False, verbose=0)
    return model


def weights(model):
    return {variable.path: np.asarray(variable) for variable in model.variables}


@pytest.mark.parametrize("shape", [(36, 5), (5, 36), (8, 8)])
def test_all_directions_are_about_equal_and_stay_what_they_were(shape):
    matrix = np.random.default_rng(0).normal(size=shape)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    matrix = left * np.geomspace(1, 0.05, len(values)) @ right
    found = keras.ops.convert_to_numpy(evened(keras.ops.cast(matrix, "float32")))
    assert found.shape == shape
    assert np.linalg.cond(matrix) > 15
    along = left.T @ found @ right.T
    assert np.all((np.diag(along) > 0.6) & (np.diag(along) < 1.3))
    np.testing.assert_allclose(along - np.diag(np.diag(along)), 0, atol=1e-4)


def test_a_convolutions_step_is_as_large_as_said_and_the_others_are_adams():
    ours, adams = network(ConvolutionMuon(0.01, convolution_rate=5, epsilon=1e-7)), network(keras.optimizers.Adam(0.01))
    before = weights(ours)
    after, expected = weights(fitted(ours)), weights(fitted(adams))
    changed = {path: after[path] - before[path] for path in after}
    assert {path for path in after if not np.allclose(after[path], expected[path], atol=1e-6)} == {"second/kernel"}
    root_mean_square = np.sqrt((changed["second/kernel"] ** 2).mean())
    assert root_mean_square == pytest.approx(0.2 * 0.01 * 5, rel=0.3)
    values = np.linalg.svd(changed["second/kernel"].reshape(-1, 5), compute_uv=False)
    assert values.max() < 2 * values.min()


def test_it_goes_downhill():
    model = network(ConvolutionMuon(0.003))
    before = model.evaluate(IMAGES, LABELS, verbose=0)[0]
    fitted(model, 20)
    assert model.evaluate(IMAGES, LABELS, verbose=0)[0] < 0.6 * before


def test_weights_decay_in_convolutions_too():
    decaying, steady = (network(ConvolutionMuon(0.01, weight_decay=decay)) for decay in (2.0, None))
    start = weights(decaying)["second/kernel"]
    difference = weights(fitted(steady))["second/kernel"] - weights(fitted(decaying))["second/kernel"]
    np.testing.assert_allclose(difference, 0.02 * start, rtol=0.05, atol=1e-3)


def test_the_kernels_for_adam_change_nothing_and_leave_nothing():
    ours, own = network(ConvolutionMuon(0.01)), network(ConvolutionMuon(0.01))
    with faster_fit(ours):
        assert keras.backend.backend() != "tensorflow" or "adam_step" in vars(ours.optimizer)
        fitted(ours, 3)
    assert not {"adam_step", "update_step"} & set(vars(ours.optimizer))
    expected = weights(fitted(own, 3))
    for path, found in weights(ours).items():
        np.testing.assert_allclose(found, expected[path], rtol=1e-4, atol=1e-5)


def test_a_training_goes_on_where_it_was(tmp_path):
    whole, part = (network(optimizer_of("muon", 0.01, 0.1)) for _ in range(2))
    fitted(part, 2).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == part.optimizer.get_config()
    expected = weights(fitted(whole, 5))
    for path, found in weights(fitted(loaded, 3)).items():
        np.testing.assert_allclose(found, expected[path], rtol=1e-3, atol=1e-5)


def test_optimizers_by_name():
    assert type(optimizer_of("adam", 0.1)) is keras.optimizers.Adam
    assert optimizer_of("adam", 0.1).weight_decay is None
    assert optimizer_of("muon", 0.1, 0.2).weight_decay == 0.2
    with pytest.raises(UserError, match="the optimizer is 'adam' or 'muon', not 'sgd'"):
        optimizer_of("sgd", 0.1)
