"""Smoothed labels cost what Keras says for one-hot ones, and survive saving."""

import numpy as np
import pytest

from fer_utils.common.errors import UserError
from fer_utils.models.keras_start import load_keras

keras = load_keras()

from workshop.custom_cnn import loss_of  # noqa: E402
from workshop.smoothing import SmoothedCrossentropy  # noqa: E402

LABELS = np.array([0, 3, 6, 3])
PROBABILITIES = np.random.default_rng(0).dirichlet(np.ones(7), size=4).astype(np.float32)


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, np.newaxis]], ids=["flat", "column"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_it_is_the_cross_entropy_against_spread_labels(labels, share):
    targets = np.eye(7)[LABELS] * (1 - share) + share / 7
    expected = -(targets * np.log(PROBABILITIES)).sum(axis=1).mean()
    assert float(SmoothedCrossentropy(share)(labels, PROBABILITIES)) == pytest.approx(expected, rel=1e-5)


def test_a_model_is_trained_with_it_saved_and_loaded(tmp_path, tiny_model, tiny_data):
    model = tiny_model(compiled=False)
    model.compile("adam", loss_of(0.2), metrics=["accuracy"])
    images, labels = tiny_data
    history = model.fit(images[..., np.newaxis], labels, epochs=1, verbose=0).history
    assert 0 <= history["accuracy"][0] <= 1
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.loss.label_smoothing == 0.2
    expected, found = (each.evaluate(images[..., np.newaxis], labels, verbose=0) for each in (model, loaded))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_without_smoothing_it_is_kerass_own_loss():
    assert loss_of() == loss_of(0.0) == "sparse_categorical_crossentropy"
    for wrong in (-0.1, 1.0):
        with pytest.raises(UserError, match="label smoothing is a share"):
            loss_of(wrong)
