"""The command that trains the recorded custom CNN again: its defaults, its run and its record."""

import inspect
import json

import numpy as np
import pytest
from helpers import write_zip
from typer.testing import CliRunner

from fer_utils import models, records
from fer_utils.common.errors import UserError
from fer_utils.records.keep import file_name
from workshop.custom_cnn import app, main, with_changes

RECORD = "custom_cnn_augmented_gentle3_strength0.5_muon_smoothing0.1_seed0.json"
SMALL = ("--epochs", "1", "--width", "0.05", "--batch-size", "16", "--validation-split", "0.2")


@pytest.fixture
def train(tmp_path, files, monkeypatch):
    # In this process other tests follow, which compute with 32-bit numbers.
    monkeypatch.setenv("FER_PRECISION", "float32")
    data = write_zip(tmp_path / "archive.zip", files)

    def run(folder, *options):
        out = tmp_path / folder
        found = CliRunner().invoke(app, ["--data", str(data), "--out", str(out), *SMALL, *options])
        if found.exception:
            raise found.exception
        (run,) = out.iterdir()
        return run, found.output

    return run


def json_of(run, file):
    return json.loads((run / file).read_text())


def test_without_options_it_is_the_recorded_run():
    settings = json.loads((records.results_folder() / RECORD).read_text())["settings"]
    defaults = {name: each.default for name, each in inspect.signature(main).parameters.items()}
    shared = set(settings) & set(defaults) - {"data"}
    assert {"optimizer", "label_smoothing", "weight_decay", "strength", "gentle_epochs", "epochs", "l2"} <= shared
    assert set(settings) - shared == {"data", "deduplicate", "training_images", "rate_patience"}
    assert {name: settings[name] for name in shared} == {name: defaults[name] for name in shared}


@pytest.mark.workshop
def test_it_trains_what_it_says_and_leaves_a_record(train):
    run, output = train("first")
    identity = json_of(run, "settings.json")
    assert identity["optimizer"]["class_name"] == "ConvolutionMuon"
    assert identity["optimizer"]["config"]["weight_decay"] == 0.25
    assert identity["optimizer"]["config"]["learning_rate"]["class_name"] == "CosineDecay"
    assert identity["loss"]["config"]["label_smoothing"] == 0.1
    changing = identity["network"]["layers"][1]
    assert changing["class_name"] == "RandomAffine" and changing["config"]["rotation"] == 20
    record = json_of(run, "metrics.json")
    assert set(record["scores"]) == {"training", "validation", "PublicTest", "PrivateTest"}
    assert set(record["mirrored"]) == {"validation", "PublicTest", "PrivateTest"}
    assert f"fer results keep {run}" in output and "--model custom_cnn_augmented" in output
    # Under this name; toy data, which are not FER-2013, are refused.
    name = file_name(record | {"model": "custom_cnn_augmented"})
    assert name == "custom_cnn_augmented_width0.05_gentle3_strength0.5_muon_smoothing0.1_seed0.json"


@pytest.mark.workshop
def test_what_other_recorded_runs_changed_can_be_asked_for(train):
    first, _ = train("first", "--no-augmented", "--optimizer", "adam", "--label-smoothing", "0", "--weight-decay", "0")
    assert first.name == "04_without_augmentation"
    identity = json_of(first, "settings.json")
    assert identity["optimizer"]["class_name"] == "Adam"
    assert identity["loss"] == "sparse_categorical_crossentropy"
    assert [layer["class_name"] for layer in identity["network"]["layers"][1:3]] == ["Rescaling", "Conv2D"]
    second, _ = train("second", "--start-from", str(first / "model.keras"), "--erased", "0.5")
    identity, record = json_of(second, "settings.json"), json_of(second, "metrics.json")
    assert record["settings"]["start"] == identity["start"] and identity["start"]["epochs"] == 1
    assert record["settings"]["erased"] == 0.5
    assert [layer["class_name"] for layer in identity["network"]["layers"][1:3]] == ["RandomAffine", "RandomErasing"]


def test_erasing_hides_one_rectangle_of_the_given_share_of_the_pictures(tiny_model):
    import keras

    model = with_changes(tiny_model(compiled=False), seed=0, erased=0.5)
    grey = np.full((200, 48, 48, 1), 128, "float32")
    changed = keras.ops.convert_to_numpy(model.get_layer("erasing")(grey, training=True))[..., 0] != 128
    hidden = changed.any(axis=(1, 2))
    assert 70 < hidden.sum() < 130, "about half of them"
    for mask in changed[hidden]:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        # Noise may be the very grey that it hides, and is clipped to black or white.
        assert inside.mean() > 0.9 and 48 / 8 < len(rows) < 48 * 0.6


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_of_erased_pictures_that_is_none_is_refused(tiny_model, share):
    with pytest.raises(UserError, match="lose a rectangle is from 0 to 1"):
        with_changes(tiny_model(compiled=False), seed=0, erased=share)


def test_network_is_found_behind_erasing_too(tiny_model):
    model = tiny_model(compiled=False)
    changing = with_changes(model, seed=0, erased=0.5)
    assert len(changing.layers) == 4 and models.without_augmentation(changing) is model
