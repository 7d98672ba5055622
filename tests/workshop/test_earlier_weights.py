"""A second training begins exactly where the first one ended, and says so."""

import json

import numpy as np
import pytest

from fer_utils import models
from fer_utils.common.errors import UserError
from workshop.earlier_weights import begin_with


def a_network(width=0.05):
    return models.custom_cnn(width=width)


def predicted(model, images):
    import keras

    return keras.ops.convert_to_numpy(model(models.as_input(images), training=False))


@pytest.fixture
def earlier(tmp_path):
    folder = tmp_path / "first" / "04_with_augmentation"
    folder.mkdir(parents=True)
    model = a_network()
    model.save(folder / "model.keras")
    (folder / "history.json").write_text(json.dumps([{"loss": 1.0}] * 5))
    return model, folder / "model.keras"


def test_every_model_answers_as_the_earlier_one_did(earlier, tiny_data, tmp_path):
    known, path = earlier
    images = tiny_data[0][:4]
    plain, twin = a_network(), a_network()
    assert not np.allclose(predicted(plain, images), predicted(known, images), atol=1e-4), "the case this is about"
    augmented = models.with_augmentation(twin, seed=0)
    told = begin_with(path, plain, twin, output_dir=tmp_path / "second")
    for model in (plain, augmented):
        np.testing.assert_allclose(predicted(model, images), predicted(known, images), atol=1e-5)
    assert told["epochs"] == 5 and len(told["weights"]) == 16


def test_what_is_told_depends_on_the_weights_alone(earlier, tmp_path):
    model, path = earlier
    told = begin_with(path, output_dir=tmp_path / "second")
    path.with_name("history.json").unlink()
    model.save(path)
    assert begin_with(path, output_dir=tmp_path / "second") == told | {"epochs": None}
    a_network().save(path)
    assert begin_with(path, output_dir=tmp_path / "second")["weights"] != told["weights"]


def test_another_network_is_refused_and_left_as_it_is(earlier, tmp_path):
    wide = a_network(width=0.1)
    before = wide.get_weights()
    with pytest.raises(UserError, match="do not fit this network.*width"):
        begin_with(earlier[1], wide, output_dir=tmp_path / "second")
    for ours, theirs in zip(wide.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_file_that_the_training_itself_may_overwrite_is_refused(earlier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="may be overwritten.*in another one"):
        begin_with("first/04_with_augmentation/model.keras", a_network(), output_dir=tmp_path / "first")


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="no such model.*fer run"):
        begin_with(tmp_path / "none.keras", a_network(), output_dir=tmp_path / "second")
