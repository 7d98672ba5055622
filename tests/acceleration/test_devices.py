"""Several devices: two logical processors learn what one does, and what they cannot do is said in one line."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from fer_utils.acceleration import devices
from fer_utils.common.errors import UserError

# Trains in processes of their own: a framework cannot change its devices once it has started.
SCRIPT = """
import json, sys
import numpy as np
import tensorflow as tf
from fer_utils import evaluation, training
from fer_utils.models.keras_start import load_keras

keras = load_keras()
assert load_keras() is keras, "a second call changes nothing"
folder = sys.argv[1]
labels = np.arange(140) % 7
images = np.random.default_rng(0).integers(0, 60, (140, 48, 48)).astype(np.uint8)
for i, label in enumerate(labels):
    images[i, 6 * label : 6 * label + 6] += 150


def build(*between):
    keras.utils.set_random_seed(0)
    first = [keras.Input((48, 48, 1)), keras.layers.Rescaling(1 / 255), keras.layers.AveragePooling2D(6)]
    last = [keras.layers.Flatten(), keras.layers.Dense(7, activation="softmax")]
    model = keras.Sequential([*first, *between, *last])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(model, n, epochs, name, **more):
    parts = (images[:n], labels[:n]), (images[-24:], labels[-24:])
    return training.train(model, *parts, name=name, output_dir=folder, epochs=epochs, batch_size=16, **more)


train(build(), 116, 1, "plain")
run = train(build(), 116, 2, "plain")
L = keras.layers
layers = L.BatchNormalization(), L.Dropout(0.2), L.Conv2D(8, 3), L.GlobalAveragePooling2D()
odd = train(build(*layers), 113, 1, "odd")
frozen = train(build(keras.layers.Conv2D(4, 3, trainable=False)), 113, 1, "frozen", frozen_once=True)
print("RESULT", json.dumps({
    "replicas": tf.distribute.get_strategy().num_replicas_in_sync,
    "history": run.history.drop(columns="seconds").to_numpy().tolist(),
    "weights": [weight.tolist() for weight in run.model.get_weights()],
    "odd": [weight.tolist() for weight in odd.model.get_weights()],
    "probabilities": odd.model.predict(images[:17, ..., None], 4, verbose=0).tolist(),
    "kept": evaluation.predict(frozen.model, images[:17], 4, frozen_once=True).tolist(),
    "through": evaluation.predict(frozen.model, images[:17], 4).tolist(),
    "one": odd.model.predict(images[:1, ..., None], verbose=0).tolist(),
}))
"""


def train_on(n, folder):
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder / str(n))],
        env={**os.environ, "FER_DEVICES": str(n)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    assert "going on after epoch 1 of 2" in found.stdout
    return json.loads(found.stdout.split("RESULT", 1)[1])


def test_two_devices_learn_what_one_learns(tmp_path):
    one, two = train_on(1, tmp_path), train_on(2, tmp_path)
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert np.allclose(one["history"], two["history"], atol=1e-3)
    for ours, theirs in zip(one["weights"], two["weights"], strict=True):
        assert np.allclose(ours, theirs, atol=1e-3)
    # 113 pictures in batches of 16: one is left over for two devices.
    assert all(np.isfinite(weight).all() for weight in two["odd"])
    assert np.shape(two["probabilities"]) == (17, 7) and np.shape(two["one"]) == (1, 7)
    # With the frozen layers computed once as well, which are kept in half the digits.
    assert np.shape(two["kept"]) == np.shape(two["through"]) == (17, 7)
    assert np.allclose(two["kept"], two["through"], atol=1e-2)
    assert np.allclose(two["probabilities"][0], two["one"][0], atol=1e-5)


def test_more_devices_than_there_are(monkeypatch):
    monkeypatch.delenv("FER_DEVICES", raising=False)
    with pytest.raises(UserError, match=r"^1000 devices asked for, but this machine has [^\n]*$"):
        devices.ask_for(1000)
    assert "FER_DEVICES" not in os.environ


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_the_variable_holds_a_whole_number(monkeypatch, text):
    monkeypatch.setenv("FER_DEVICES", text)
    with pytest.raises(UserError, match="FER_DEVICES must be a whole number of at least 1"):
        devices.devices_asked_for()


def test_after_the_framework_has_started_it_is_too_late():
    code = (
        "import keras; keras.ops.zeros(1)\nfrom fer_utils.acceleration import devices\n"
        "try:\n    devices.prepare(2)\nexcept devices.UserError as error:\n    print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "FER_DEVICES came too late" in found.stdout


def test_other_backends_are_refused():
    code = (
        "import keras\nfrom fer_utils.acceleration import devices\nkeras.backend.backend = lambda: 'torch'\n"
        "devices._in_use = lambda: 1\n"
        "try:\n    devices.prepare(2)\nexcept devices.UserError as error:\n    print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "several devices need KERAS_BACKEND=tensorflow or jax, not torch" in found.stdout
