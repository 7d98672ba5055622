"""Compact models trained by the commands: a first one, one that goes on from it, one that it taught, and an ensemble.

All tests look at the same few trainings, on pictures that are learned in seconds.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers import png, write_zip
from typer.testing import CliRunner

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS
from fer_utils.common.probabilities import mirror_averaged, with_temperature
from fer_utils.dataset import load_dataset, split_validation
from fer_utils.detector.shipped import ShippedModel
from fer_utils.evaluation.calibration import fit_temperature_and_bias
from fer_utils.models.compact_cnn import load_shipped
from workshop.model.commands import app

pytestmark = pytest.mark.workshop
FIRST = ("--epochs", "2", "--width", "0.25", "--validation", "0.3")


def bars(n, seed):
    """Return pictures whose label shows as the height of a bright bar, uint8 (n, 48, 48), and their labels."""
    labels = np.arange(n) % 7
    images = np.random.default_rng(seed).integers(0, 60, (n, 48, 48)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[6 * label : 6 * label + 6] += 150
    return images, labels


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """FER-2013's zip with 210 pictures to learn from, and 35 for each test part."""
    content = {}
    for seed, (usage, n) in enumerate((("Training", 210), ("PublicTest", 35), ("PrivateTest", 35))):
        for i, (image, label) in enumerate(zip(*bars(n, seed), strict=True)):
            folder = "train" if usage == "Training" else "test"
            content[f"{folder}/{EMOTIONS[label]}/{usage}_{i:08}.png"] = png(image)
    return write_zip(tmp_path_factory.mktemp("data") / "archive.zip", content)


@pytest.fixture(scope="module")
def compact(data):
    """A function that runs `compact` in a folder and returns its result."""

    def run(folder, *more):
        common = ["compact", "--data", str(data), "--batch-size", "49", "--dtype", "float32", "--run-dir", str(folder)]
        return CliRunner().invoke(app, [*common, *more])

    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data, compact):
    """The folders "one", "two", "student" and "both"; "output.txt" holds what the last two commands said."""
    folder = tmp_path_factory.mktemp("runs")
    trainings = (
        ("one", *FIRST),
        ("two", "--epochs", "1", "--seed", "1", "--start", str(folder / "one")),
        ("student", "--epochs", "1", "--seed", "2", "--width", "0.25", "--teacher", str(folder / "one")),
    )
    for name, *more in trainings:
        made = compact(folder / name, *more)
        assert made.exit_code == 0, made.output
    members = [argument for name in ("one", "two") for argument in ("--member", str(folder / name))]
    both = CliRunner().invoke(app, ["ensemble", "--data", str(data), "--run-dir", str(folder / "both"), *members])
    assert both.exit_code == 0, both.output
    (folder / "output.txt").write_text(made.output + both.output)
    return folder


@pytest.fixture(scope="module")
def dataset(data):
    return load_dataset(data, progress=False, cache=False)


@pytest.fixture(scope="module")
def training(dataset):
    return dataset.subset("Training")


def record_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_the_command_trains_calibrates_scores_and_records(runs):
    output, record = (runs / "output.txt").read_text(), record_of(runs / "one")
    assert "PublicTest: accuracy" in output and "expected calibration error" in output
    assert set(record["scores"]) == {"training", "validation", "PublicTest", "PrivateTest"}
    assert record["scores"]["PublicTest"]["n"] == 35 and not record["data"]["is_sample"]
    assert record["epochs"] == 2 and record["settings"]["temperature"] > 0
    assert all((runs / "one" / name).stat().st_size < 6e6 for name in ("compact.npz", "compact.onnx"))


def test_the_same_command_goes_on_and_another_is_refused(runs, compact, tmp_path):
    for name in ("plan.json", "checkpoint.npz", "log.csv"):
        (tmp_path / name).write_bytes((runs / "one" / name).read_bytes())
    again = compact(tmp_path, *FIRST)
    assert again.exit_code == 0 and "Going on after step 6 of 6" in again.output
    other = compact(tmp_path, *FIRST, "--seed", "5")
    assert isinstance(other.exception, UserError) and "started with seed=0, not 5" in str(other.exception)


def test_a_second_training_begins_where_the_first_ended_and_learns_from_its_answers(runs, training, tmp_path):
    from workshop.model.start import Start
    from workshop.model.train import Plan, Run

    settings, start = record_of(runs / "two")["settings"], Start(runs / "one")
    assert settings["start"] == start.fingerprint and settings["trust"] > 0
    # The same pictures are held out, though the seed is another.
    made = [
        Run(tmp_path / name, *training, Plan(**start.settings | changed, batch_size=20, steps=1), start)
        for name, changed in (("a", {"trust": 0.5}), ("b", {"seed": 1}))
    ]
    assert np.array_equal(made[0].validation[0], made[1].validation[0])
    # Half of each target is an answer of the finished model.
    soft = start.answers(made[0].images, tmp_path / "a")
    assert np.allclose(made[0].targets, 0.5 * soft + 0.5 * np.eye(7)[made[0].labels], atol=1e-5)
    assert made[1].targets.max() == 1 and made[1].targets.sum() == len(made[1].labels)


def test_a_student_learns_its_teachers_answers_to_the_very_pictures_it_is_shown(runs, training, tmp_path):
    from workshop.model.train import LABEL_SMOOTHING, Plan, Run, Teacher

    settings, teacher = record_of(runs / "student")["settings"], Teacher(runs / "one")
    assert settings["teacher"] == teacher.fingerprint and settings["trust"] > 0
    assert teacher.plan.stem == 8 and teacher.plan.widths == [16, 24, 48]
    student = Plan(batch_size=20, steps=4, trust=0.5, stem=4, widths=(8, 8), **teacher.settings)
    run = Run(tmp_path / "run", *training, student, teachers=[teacher])
    # The teacher's held-out pictures stay held out, though the seed is another.
    held = split_validation(*training, 0.3, 0)[1]
    assert np.array_equal(run.validation[0], training[0][held])
    x, targets = run.make_batch(*run.batch_arguments(1))
    _, mixed = run.completed(x, targets)
    smooth = (1 - LABEL_SMOOTHING) * targets + LABEL_SMOOTHING / 7
    assert np.allclose(mixed, 0.5 * smooth + 0.5 * teacher.network().predict_on_batch(x), atol=1e-4)


def test_a_run_may_begin_with_one_model_and_learn_the_answers_of_another(runs, training, tmp_path):
    from workshop.model.start import FinishedTeacher, Start
    from workshop.model.train import Plan, Run, Teacher, settings_of

    start, itself, other = Start(runs / "one"), *(FinishedTeacher(runs / name) for name in ("one", "two"))
    other.finished.about["split_seed"] = 5
    with pytest.raises(UserError, match="held out different pictures"):
        settings_of([other], start)
    plan = Plan(batch_size=20, steps=4, trust=0.5, **start.settings | settings_of([itself], start))
    run = Run(tmp_path / "run", *training, plan, start, [itself])
    # The labels stay as they are: the answers come with the pictures.
    assert run.targets.max() == 1 and np.array_equal(run.targets.argmax(axis=1), run.labels)
    x, targets = run.make_batch(*run.batch_arguments(1))
    _, mixed = run.completed(x, targets)
    # The finished file answers as softly as the run did that it was made from.
    by_run = Teacher(runs / "one").network().predict_on_batch(x)
    by_file = itself.network().predict_on_batch(x)
    assert np.allclose(by_file, by_run, atol=5e-3) and by_run.std(axis=0).max() > 1e-2
    smooth = 0.9 * targets + 0.1 / 7
    assert np.allclose(mixed, 0.5 * smooth + 0.5 * by_file, atol=1e-4)


@pytest.fixture
def all_seen(runs, tmp_path):
    """A finished model that held nothing out, as an earlier version could make one."""
    from workshop.model.export import save_compact

    about = ShippedModel(runs / "one" / "compact.onnx").about | {"validation_split": 0.0}
    save_compact(tmp_path / "all", load_shipped(runs / "one" / "compact.npz"), about)
    (tmp_path / "all" / "metrics.json").write_bytes((runs / "one" / "metrics.json").read_bytes())
    return tmp_path / "all"


@pytest.mark.parametrize("option", ["--start", "--teacher"])
def test_a_model_that_held_nothing_out_neither_begins_nor_teaches_another_run(all_seen, compact, tmp_path, option):
    result = compact(tmp_path / "run", option, str(all_seen))
    assert isinstance(result.exception, UserError) and "has seen all of Training" in str(result.exception)


def test_models_that_held_nothing_out_do_not_join(all_seen, dataset, tmp_path):
    from workshop.model.ensemble import Member, ensemble_of

    with pytest.raises(UserError, match="nothing was held out"):
        ensemble_of([Member(all_seen), Member(all_seen)], dataset, tmp_path / "run")


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
    record, one, two = (record_of(runs / name) for name in ("both", "one", "two"))
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
    plan = Plan(steps=1, batch_size=16, **start.settings | settings_of([teacher], start))
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
    from workshop.model.begin import teacher_in
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
    from workshop.model import export

    monkeypatch.setattr(export, "LARGEST_FILE", 1000)
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
def test_members_that_do_not_make_one_are_refused(runs, data, names, message, tmp_path):
    bare = runs / "bare"
    bare.mkdir(exist_ok=True)
    for name in ("compact.npz", "compact.onnx"):
        (bare / name).write_bytes((runs / "two" / name).read_bytes())
    members = [argument for name in names for argument in ("--member", str(runs / name))]
    result = CliRunner().invoke(app, ["ensemble", "--data", str(data), "--run-dir", str(tmp_path / "run"), *members])
    assert isinstance(result.exception, UserError) and message in str(result.exception)


def test_members_of_other_data_or_another_division_are_refused(runs, dataset, tmp_path):
    from workshop.model.ensemble import Member, ensemble_of

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
