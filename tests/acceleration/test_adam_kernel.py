"""Adam's step by the kernel: the same as Keras's, and nothing of it stays in a model."""

import sys

import numpy as np
import pytest

import fer_utils.acceleration.adam_kernel  # noqa: F401
from fer_utils import training
from fer_utils.acceleration.adam_kernel import fuse
from fer_utils.acceleration.adam_kernel import fused_adam as fused_while
from fer_utils.models.keras_start import load_keras

keras = load_keras()
optimizers = keras.optimizers
IMAGES = np.random.default_rng(0).normal(3, 2, (16, 6)).astype(np.float32)
LABELS = np.arange(16) % 2


@pytest.fixture(autouse=True)
def only_tensorflow():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow has the kernel")


def network(optimizer, dtype="float32", first=None):
    keras.utils.set_random_seed(1)
    first = first() if first else keras.layers.Dense(5, activation="relu", dtype=dtype)
    model = keras.Sequential([keras.Input((6,)), first, keras.layers.Dense(2, activation="softmax", dtype="float32")])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fitted(model, epochs=3):
    model.fit(IMAGES, LABELS, epochs=epochs, batch_size=8, shuffle=False, verbose=0)
    return [*model.get_weights(), *(np.asarray(variable) for variable in model.optimizer.variables)]


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: optimizers.Adam(0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-4),
        lambda: optimizers.AdamW(optimizers.schedules.CosineDecay(0.01, 6), weight_decay=0.1),
        lambda: optimizers.Adam(0.01, clipnorm=0.1, gradient_accumulation_steps=2),
    ],
)
def test_weights_and_moments_are_those_of_kerass_own(make, dtype):
    ours, keras_own = network(make(), dtype), network(make(), dtype)
    with fused_while(ours.optimizer):
        assert "update_step" in vars(ours.optimizer)
        found = fitted(ours)
    for one, other in zip(found, fitted(keras_own), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_checkpoint_goes_on_as_kerass_own_and_with_the_kernel(tmp_path):
    model = network(optimizers.Adam(0.01))
    with fused_while(model.optimizer):
        fitted(model)
        model.save(tmp_path / "model.keras")
    assert "update_step" not in vars(model.optimizer)
    own, ours = (keras.models.load_model(tmp_path / "model.keras") for _ in range(2))
    assert type(own.optimizer) is optimizers.Adam and int(own.optimizer.iterations) == 6
    with fused_while(ours.optimizer):
        found = fitted(ours)
    for one, other in zip(found, fitted(own), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


class Other(optimizers.Adam):
    """Somebody's own."""


@pytest.mark.parametrize("optimizer", [optimizers.SGD(), optimizers.Adam(amsgrad=True), Other()])
def test_what_the_kernel_cannot_do_stays_as_it_was(optimizer):
    assert not fuse(optimizer) and "update_step" not in vars(optimizer)


def test_the_sparse_gradient_of_an_embedding_is_left_to_keras():
    """The kernel takes whole arrays only."""

    def words():
        return keras.Sequential([keras.layers.Embedding(4, 5), keras.layers.Flatten()])

    def trained(fused):
        model = network(optimizers.Adam(0.01), first=words)
        with fused_while(model.optimizer if fused else optimizers.SGD()):
            model.fit(np.abs(IMAGES.astype(int)) % 4, LABELS, shuffle=False, verbose=0)
        return model.get_weights()

    for one, other in zip(trained(True), trained(False), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_training_uses_it_and_a_gpu_changes_nothing(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        sys.modules["fer_utils.acceleration.adam_kernel"], "fuse", lambda optimizer: bool(seen.append(optimizer))
    )
    model = network(optimizers.Adam(0.01))
    part = (IMAGES, LABELS)
    training.train(model, part, part, name="run", output_dir=tmp_path, epochs=1)
    assert seen == [model.optimizer]
    monkeypatch.setattr(sys.modules["fer_utils.acceleration.adam_kernel"], "only_processors", lambda: False)
    training.train(model, part, part, name="other", output_dir=tmp_path, epochs=1)
    assert len(seen) == 1
