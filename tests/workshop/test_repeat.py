"""Repeating a run on all of Training: nothing is held out, and settings and calibration are the earlier run's."""

import copy
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fer_utils.common.errors import UserError
from fer_utils.common.probabilities import with_temperature
from fer_utils.dataset import load_dataset
from fer_utils.records.keep import results_folder
from workshop.model.commands import app
from workshop.model.repeat import EarlierRun

COMMON = ["compact", "--data", "sample", "--dtype", "float32"]


def invoke(*arguments):
    return CliRunner().invoke(app, [*COMMON, *map(str, arguments)])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """An earlier run with a narrow network, on a part of the sample, and its repetition on all of Training."""
    folder = tmp_path_factory.mktemp("runs")
    first = invoke(
        "--run-dir",
        folder / "first",
        "--steps",
        3,
        "--decay-from",
        1,
        "--seed",
        4,
        "--limit",
        300,
        "--batch-size",
        40,
        "--width",
        0.25,
        "--validation",
        0.3,
        "--learning-rate",
        0.001,
    )
    assert first.exit_code == 0, first.output
    # Far from what would be fitted, so that it shows whose calibration is used.
    record = json.loads((folder / "first" / "metrics.json").read_text())
    record["settings"] |= {"temperature": 3.0, "bias": [0.5, 0.0, 0.0, 0.0, 0.0, 0.0, -0.5]}
    (folder / "first" / "metrics.json").write_text(json.dumps(record))
    again = invoke("--run-dir", folder / "all", "--repeat", folder / "first")
    assert again.exit_code == 0, again.output
    (folder / "output.txt").write_text(again.output)
    return folder


def record_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_all_of_training_is_learned_from_with_the_settings_of_the_earlier_run(runs):
    earlier, record = record_of(runs / "first"), record_of(runs / "all")
    n = int((load_dataset("sample", progress=False).usage == "Training").sum())
    assert record["scores"]["training"]["n"] == n
    assert set(record["scores"]) == {"training", "PublicTest", "PrivateTest"}
    assert set(record["settings"]["calibration"]) == {"PublicTest", "PrivateTest"}
    assert "val_accuracy" not in record["history"] and record["history"]["step"][-1] == 3
    for name in set(earlier["settings"]) - {"validation_split", "calibration"}:
        assert record["settings"][name] == earlier["settings"][name], name
    assert record["settings"]["validation_split"] == 0
    score = earlier["scores"]["validation"]
    assert record["settings"]["repeats"] == {
        "seed": 4,
        "validation_accuracy": score["accuracy"],
        "validation_n": score["n"],
    }
    with np.load(runs / "all" / "predictions.npz") as predictions:
        assert "validation" not in predictions
    output = " ".join((runs / "output.txt").read_text().split())
    assert f"Nothing is held out: all {n:,} pictures" in output
    assert "are those that the earlier run of seed 4 found on its validation part" in output


def test_the_file_answers_with_the_calibration_of_the_earlier_run(runs):
    from fer_utils.detector.shipped import ShippedModel
    from fer_utils.models.compact_cnn import load_shipped
    from workshop.model.export import uncalibrated_weights

    about = ShippedModel(runs / "all" / "compact.onnx").about
    assert about["temperature"] == 3.0 and about["bias"][0] == 0.5 and about["n_training"] == 2800
    faces = load_dataset("sample", progress=False).images[:20]
    network = load_shipped(runs / "all" / "compact.npz")
    calibrated = network.predict(faces[..., None], verbose=0)
    network.set_weights(uncalibrated_weights(network.get_weights(), {}))
    network.set_weights(uncalibrated_weights(network.get_weights(), about))
    plain = network.predict(faces[..., None], verbose=0)
    assert np.allclose(calibrated, with_temperature(plain, 3.0, np.array(about["bias"])), atol=1e-3)
    assert not np.allclose(calibrated, plain, atol=1e-2)


def test_an_interrupted_repetition_goes_on_with_the_same_command_and_with_a_copy_of_the_record(runs, tmp_path):
    from workshop.model.train import Plan, Run

    images, labels = load_dataset("sample", progress=False).subset("Training")
    plan = Plan(**json.loads((runs / "all" / "plan.json").read_text()))
    begun = Run(tmp_path / "run", images, labels, plan)
    begun.train_step()
    begun.save()
    copied = tmp_path / "compact_seed4.json"
    copied.write_text(json.dumps(record_of(runs / "first") | {"model": "compact", "command": "fer train compact"}))
    result = invoke("--run-dir", tmp_path / "run", "--repeat", copied)
    assert result.exit_code == 0, result.output
    assert "Going on after step 1 of 3" in result.output
    with np.load(runs / "all" / "weights.npz") as one, np.load(tmp_path / "run" / "weights.npz") as other:
        assert all(np.allclose(one[name], other[name], atol=1e-3) for name in one.files if name != "plan")


def test_the_folder_of_the_earlier_run_is_not_taken_for_its_repetition(runs):
    result = invoke("--run-dir", runs / "first", "--repeat", runs / "first")
    assert isinstance(result.exception, UserError) and "give another --run-dir" in str(result.exception)


@pytest.mark.parametrize(
    "option",
    [
        "--epochs",
        "--steps",
        "--decay-from",
        "--seed",
        "--batch-size",
        "--learning-rate",
        "--validation",
        "--width",
        "--limit",
        "--trust",
    ],
)
def test_what_the_earlier_run_says_may_not_be_said_otherwise(tmp_path, option):
    # A default that is given is refused as well.
    value = {"--epochs": "60", "--validation": "0.05", "--learning-rate": "0.002", "--trust": "0.6"}.get(option, "2")
    result = invoke("--run-dir", tmp_path / "run", "--repeat", results_folder() / "compact_seed0.json", option, value)
    assert result.exit_code == 2 and f"leave out {option}" in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", ["--start", "--teacher"])
def test_a_model_that_held_nothing_out_neither_begins_nor_teaches_another_run(runs, tmp_path, option):
    result = invoke("--run-dir", tmp_path / "run", option, runs / "all")
    assert isinstance(result.exception, UserError) and "has seen all of Training" in str(result.exception)


def test_models_that_held_nothing_out_do_not_join(runs, tmp_path):
    members = ["--member", str(runs / "all")] * 2
    command = ["ensemble", "--data", "sample", "--run-dir", str(tmp_path / "both"), *members]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, UserError) and "nothing was held out" in str(result.exception)


def test_other_pictures_are_refused(tmp_path):
    result = invoke("--run-dir", tmp_path / "run", "--repeat", results_folder() / "compact_seed0.json")
    assert isinstance(result.exception, UserError) and "trained on other pictures" in str(result.exception)


def test_without_the_earlier_run_there_is_no_calibration(tiny_data, tmp_path):
    from workshop.model.finish import finish
    from workshop.model.train import Plan, Run

    plan = Plan(steps=1, stem=4, widths=(4, 8), blocks=1, batch_size=8, validation_split=0.0)
    with pytest.raises(UserError, match="nothing was held out to calibrate on"):
        finish(Run(tmp_path, *tiny_data, plan), load_dataset("sample", progress=False), tmp_path)


@pytest.fixture
def record():
    return json.loads((results_folder() / "compact_seed5.json").read_text())


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5, 6])
def test_every_single_run_that_is_recorded_can_be_repeated(seed):
    from workshop.model.train import Plan

    earlier = EarlierRun(results_folder() / f"compact_seed{seed}.json")
    plan = Plan(**earlier.settings)
    recorded = earlier.record["settings"]
    assert (plan.seed, plan.steps, plan.decay_from) == (seed, recorded["steps"], recorded["decay_from"])
    assert plan.validation_split == 0 and plan.whole_from == recorded["decay_from"] + 1
    temperature, bias = earlier.calibration
    assert temperature == recorded["temperature"] and bias.tolist() == recorded.get("bias", [0] * 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record["settings"].update(trained=[]), "is of an ensemble"),
        (lambda record: record["settings"].pop("window"), "not of the compact model"),
        (lambda record: record["settings"].update(validation_split=0.0), "held nothing out itself"),
        (lambda record: record["settings"].update(start=None, teacher=None), "does not say which network taught"),
        (lambda record: record.pop("scores"), "is not the record of a run"),
    ],
)
def test_a_record_that_cannot_be_repeated_is_one_clear_line(tmp_path, record, change, message):
    change(record)
    (tmp_path / "metrics.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=message):
        EarlierRun(tmp_path)


@pytest.mark.parametrize("name", ["vgg16_random_48px_seed0", "custom_cnn_seed0"])
def test_another_model_is_refused(name):
    with pytest.raises(UserError, match="not of the compact model"):
        EarlierRun(results_folder() / f"{name}.json")


def test_no_record_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no such record"):
        EarlierRun(tmp_path)
    (tmp_path / "metrics.json").write_text("[")
    with pytest.raises(UserError, match="is not the record of a run"):
        EarlierRun(tmp_path)


class Model:
    def __init__(self, fingerprint):
        self.fingerprint = fingerprint


def test_the_same_models_must_be_given_again(tmp_path, record):
    def earlier(**changed):
        made = copy.deepcopy(record)
        made["settings"] |= changed
        (tmp_path / "metrics.json").write_text(json.dumps(made))
        return EarlierRun(tmp_path)

    a, b, c = (Model(letter * 64) for letter in "abc")
    both = earlier(start="c" * 64, teacher="a" * 64 + "+" + "b" * 64)
    both.check_models(c, [a, b])
    both.check_models(c, [b, a])
    for start, teachers, message in (
        (None, [a, b], "had --start of SHA-256 cccccccccccc…"),
        (a, [a, b], "had --start"),
        (c, [a], "had --teacher of"),
        (c, [a, c], "aaaaaaaaaaaa… and bbbbbbbbbbbb…"),
    ):
        with pytest.raises(UserError, match=message):
            both.check_models(start, teachers)
    alone = earlier(start=None, teacher=None, trust=0.0)
    alone.check_models(None, [])
    for start, teachers, message in ((a, [], "had no --start"), (None, [a], "had no --teacher")):
        with pytest.raises(UserError, match=message):
            alone.check_models(start, teachers)
