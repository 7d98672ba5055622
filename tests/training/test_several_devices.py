"""On JAX, Keras's own data parallelism trains what one device does; the last batch may have any size."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("jax")

# In a process of its own: a framework cannot change its devices once it has started.
SCRIPT = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 2)
import numpy as np
from fer_utils import models, training
from fer_utils.models.keras_start import load_keras

keras = load_keras()
labels = np.arange(141) % 7
images = np.random.default_rng(0).integers(0, 60, (141, 48, 48)).astype(np.uint8)
for i, label in enumerate(labels):
    images[i, 6 * label : 6 * label + 6] += 150


def trained(name, epochs=2):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.AveragePooling2D(6), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((48, 48, 1)), *layers, keras.layers.Dense(7, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    part = images[:n], labels[:n]
    run = training.train(model, part, part, name=name, output_dir=sys.argv[1], epochs=epochs, batch_size=32)
    return model, run


n = 128
_, alone = trained("alone")
keras.distribution.set_distribution(keras.distribution.DataParallel())
model, together = trained("together", epochs=1)
model, together = trained("together")
assert len(model.layers[-1].kernel.value.sharding.device_set) == 2
np.testing.assert_allclose(together.history["val_loss"], alone.history["val_loss"], rtol=1e-4)
n = 141
_, odd = trained("odd")
assert models.predict(odd.model, images, batch_size=64).shape == (141, 7)
print("trained on two devices")
"""


def test_two_devices_learn_what_one_does(tmp_path):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-2000:]
    assert "going on after epoch 1 of 2" in found.stdout and "trained on two devices" in found.stdout
