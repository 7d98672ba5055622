"""What several tests need: small copies of FER-2013 in every form, and the real one where it is."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers import csv_row, picture, png

from fer_utils import EMOTIONS, USAGES

REAL_DATA = os.environ.get("FER_DATA", "")


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    """Keep every test away from the user's own data and cache."""
    monkeypatch.delenv("FER_DATA", raising=False)
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def fer2013() -> Path:
    """The real FER-2013, named by $FER_DATA."""
    if not REAL_DATA:
        pytest.skip("needs FER-2013: set FER_DATA to archive.zip")
    path = Path(REAL_DATA).resolve()
    assert path.exists(), f"FER_DATA names {path}, which is not there"
    return path


@pytest.fixture
def files() -> dict[str, bytes]:
    """A small sound copy: 5 training and 1 + 1 test pictures of each emotion, by path."""
    found, number = {}, 0
    for label, emotion in enumerate(EMOTIONS):
        for usage in ("Training",) * 5 + ("PublicTest", "PrivateTest"):
            folder = "train" if usage == "Training" else "test"
            found[f"{folder}/{emotion}/{usage}_{number:08}.png"] = png(picture(100 * label + number))
            number += 1
    return found


@pytest.fixture
def csv_rows() -> list[str]:
    return [csv_row(i % 7, picture(i), USAGES[i % 3]) for i in range(21)]


@pytest.fixture
def tiny_data():
    """Learnable toy data: the label shows as the height of a bright bar. uint8 (140, 48, 48), int64 (140,)."""
    labels = np.arange(140) % 7
    images = np.random.default_rng(0).integers(0, 60, (140, 48, 48)).astype(np.uint8)
    for i, label in enumerate(labels):
        images[i, 6 * label : 6 * label + 6] += 150
    return images, labels.astype(np.int64)


@pytest.fixture
def tiny_model():
    """A function that builds a small compiled network of the series' shape."""
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()

    def build(learning_rate=0.01, compiled=True):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((48, 48, 1)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.AveragePooling2D(6),
                keras.layers.Flatten(),
                keras.layers.Dense(7, activation="softmax"),
            ]
        )
        if compiled:
            model.compile(keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    return build


@pytest.fixture
def tiny_transfer():
    """A function that builds an uncompiled network with a backbone of two convolutions in it."""
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()

    def build():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((48, 48, 1))
        x = keras.layers.Conv2D(4, 3, strides=6, name="early")(inputs)
        backbone = keras.Model(inputs, keras.layers.Conv2D(4, 3, name="late")(x), name="backbone")
        inputs = keras.Input((48, 48, 1))
        x = keras.layers.Flatten()(backbone(keras.layers.Rescaling(1 / 255)(inputs)))
        return keras.Model(inputs, keras.layers.Dense(7, activation="softmax", dtype="float32")(x))

    return build
