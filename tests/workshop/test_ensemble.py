"""An ensemble answers with the mean of its members' logits, in one network that is scored and explained as one."""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from fer_utils.common.errors import UserError
from fer_utils.common.probabilities import mirror_averaged, with_temperature
from fer_utils.dataset import load_dataset, split_validation
from fer_utils.detector.shipped import ShippedModel
from fer_utils.evaluation.calibration import fit_temperature_and_bias
from fer_utils.models.compact_cnn import load_shipped
from workshop.model.commands import app


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two trained members and the ensemble of both."""
    folder, runner = tmp_path_factory.mktemp("runs"), CliRunner()
    common = ["compact", "--data", "sample", "--batch-size", "64", "--dtype", "float32"]
    trainings = (
        ("one", "--epochs", "2", "--width", "0.25", "--validation", "0.3"),
        ("two", "--epochs", "1", "--seed", "1", "--start", str(folder / "one")),
    )
    for name, *more in trainings:
        made = runner.invoke(app, [*common, "--run-dir", str(folder / name), *more])
        assert made.exit_code == 0, made.output
    members = [argument for name in ("one", "two") for argument in ("--member", str(folder / name))]
    made = runner.invoke(app, ["ensemble", "--data", "sample", "--run-dir", str(folder / "both"), *members])
    assert made.exit_code == 0, made.output
    (folder / "output.txt").write_text(made.output)
    return folder


@pytest.fixture(scope="module")
def training():
    return load_dataset("sample", progress=False).subset("Training")


def _mean_of_logits(runs, faces):
    return mirror_averaged(*(ShippedModel(runs / name / "compact.onnx").predict(faces) for name in ("one", "two")))


def test_it_answers_with_the_mean_of_the_logits_calibrated_on_the_held_out_pictures(runs, training):
    images, labels = training
    held = split_validation(images, labels, 0.3, 0)[1]
    mean = _mean_of_logits(runs, images[held])
    temperature, bias = fit_temperature_and_bias(labels[held], mean)
    answers = ShippedModel(runs / "both" / "compact.onnx").predict(images[held])
    assert np.allclose(answers, with_temperature(mean, temperature, bias), atol=5e-3)
    one = ShippedModel(runs / "one" / "compact.onnx").predict(images[held])
    assert not np.allclose(answers, one, atol=0.02), "the other member has no say"


def test_keras_and_onnx_runtime_agree_on_it(runs, training):
    faces = training[0][:20]
    by_keras = load_shipped(runs / "both" / "compact.npz").predict(faces[..., None], verbose=0)
    assert np.abs(by_keras - ShippedModel(runs / "both" / "compact.onnx").predict_once(faces)).max() < 1e-4


def test_its_record_tells_of_its_members(runs):
    record, one, two = (json.loads((runs / n / "metrics.json").read_text()) for n in ("both", "one", "two"))
    assert [each["seed"] for each in record["settings"]["trained"]] == [0, 1]
    assert record["settings"]["trained"][1]["start"] == two["settings"]["start"] is not None
    assert record["seconds"] == pytest.approx(one["seconds"] + two["seconds"], abs=0.2)
    assert record["epochs"] == one["epochs"] + two["epochs"] and record["settings"]["members"] == 2
    assert record["history"] == two["history"] and set(record["scores"]) == set(one["scores"])
    assert record["parameters"] == one["parameters"] + two["parameters"] - 7
    assert f"n = {record['scores']['PublicTest']['n']:,}" in (runs / "output.txt").read_text()


def test_a_training_can_begin_with_it_and_learn_its_answers(runs, tmp_path, training):
    from workshop.model.start import FinishedTeacher, Start
    from workshop.model.train import Plan, Run, settings_of

    start, teacher = Start(runs / "both"), FinishedTeacher(runs / "both")
    plan = Plan(steps=2, batch_size=16, dtype="float32", **start.settings | settings_of([teacher], start))
    assert plan.members == 2
    images, labels = training
    run = Run(tmp_path / "run", images, labels, plan, start, [teacher])
    before = run.averaged.predict(images[:8, ..., None], verbose=0)
    run.averaged.set_weights(run.average.weights)
    assert not np.allclose(run.averaged.predict(images[:8, ..., None], verbose=0), before, atol=1e-3)
    assert np.allclose(
        run.averaged.predict(images[:8, ..., None], verbose=0),
        teacher.network().predict(images[:8, ..., None], verbose=0),
        atol=5e-3,
    )
    run.train(show_progress=False)


def test_a_folder_with_the_finished_model_alone_teaches_as_well(runs, tmp_path):
    from workshop.model.commands import teacher_in
    from workshop.model.start import FinishedTeacher
    from workshop.model.train import Teacher

    assert teacher_in(runs / "both").fingerprint == FinishedTeacher(runs / "both").fingerprint
    assert isinstance(teacher_in(runs / "one"), Teacher), "a run's own network is not calibrated, folded or rounded"
    with pytest.raises(UserError, match="no finished run to learn from"):
        teacher_in(tmp_path)


def test_grad_cam_reads_the_maps_of_all_members(runs, training):
    from fer_utils.explanation.grad_cam import feature_layer, grad_cam

    network = load_shipped(runs / "both" / "compact.npz")
    layer = feature_layer(network)
    assert layer.name == "members_relu" and layer.output.shape[-1] == 2 * 48
    assert grad_cam(network, training[0][:3], progress=False).max() == 1


def test_tensorflow_has_nothing_to_complain_of_in_a_joined_network():
    """Its graph optimizer wrote an error message into the terminal of whoever ran notebook 6."""
    program = """
from fer_utils.models.keras_start import load_keras
keras = load_keras()
import numpy as np
from fer_utils.models import compact_cnn
network = compact_cnn(8, (8, 16), blocks=1, normalisation=False, members=2)
network.predict(np.zeros((40, 48, 48, 1), np.float32), verbose=0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "failed" not in done.stderr


def test_kernels_of_eight_bits_answer_alike_in_both_files(runs, training, monkeypatch, tmp_path):
    import workshop.model.export  # noqa: F401
    from workshop.model import export

    monkeypatch.setattr(sys.modules["workshop.model.export"], "LARGEST_FILE", 1000)
    network, faces = load_shipped(runs / "both" / "compact.npz"), training[0][:20]
    first = export.save_compact(tmp_path / "a", network, ShippedModel(runs / "both" / "compact.onnx").about)
    loaded = load_shipped(tmp_path / "a" / "compact.npz")
    by_onnx = ShippedModel(tmp_path / "a" / "compact.onnx").predict_once(faces)
    assert np.abs(loaded.predict(faces[..., None], verbose=0) - by_onnx).max() < 1e-4
    exact = network.predict(faces[..., None], verbose=0)
    assert 0 < np.abs(exact - by_onnx).max() < 0.03
    again = export.save_compact(tmp_path / "b", loaded, ShippedModel(tmp_path / "a" / "compact.onnx").about)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in first]
    assert first[1].stat().st_size < 0.7 * (runs / "both" / "compact.onnx").stat().st_size


@pytest.mark.parametrize(
    ("names", "message"),
    [(["one"], "at least two members"), (["one", "both"], "an ensemble already"), (["one", "bare"], "metrics.json")],
)
def test_members_that_do_not_make_one_are_refused(runs, names, message, tmp_path):
    bare = runs / "bare"
    bare.mkdir(exist_ok=True)
    for name in ("compact.npz", "compact.onnx"):
        (bare / name).write_bytes((runs / "two" / name).read_bytes())
    members = [argument for name in names for argument in ("--member", str(runs / name))]
    result = CliRunner().invoke(app, ["ensemble", "--data", "sample", "--run-dir", str(tmp_path / "run"), *members])
    assert isinstance(result.exception, UserError) and message in str(result.exception)


def test_members_of_other_data_or_another_division_are_refused(runs, tmp_path):
    from workshop.model.ensemble import Member, ensemble_of

    dataset = load_dataset("sample", progress=False)
    one, two = (Member(runs / name) for name in ("one", "two"))
    two.finished.about["split_seed"] = 5
    with pytest.raises(UserError, match="held out different pictures"):
        ensemble_of([one, two], dataset, tmp_path)
    two.finished.about.update(split_seed=0, n_training=5)
    with pytest.raises(UserError, match="trained on other pictures"):
        ensemble_of([one, two], dataset, tmp_path)
    two.finished.about["network"] = {"stem": 1}
    with pytest.raises(UserError, match="different sizes"):
        ensemble_of([one, two], dataset, tmp_path)
