"""Training the compact model: resumed in mid-epoch it ends as if nothing had happened; its parts stay apart."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fer_utils.dataset import duplicate_groups, load_dataset
from workshop.model.commands import app


@pytest.fixture
def plan():
    from workshop.model.train import Plan

    def make(**changed):
        settings = {
            "steps": 6,
            "decay_from": 3,
            "batch_size": 8,
            "warmup": 2,
            "stem": 4,
            "widths": (4, 8),
            "blocks": 1,
            "validation_split": 0.3,
        }
        return Plan(**settings | changed)

    return make


def test_killed_in_mid_epoch_it_goes_on_as_if_nothing_had_happened(tmp_path, tiny_data, plan):
    from workshop.model.train import Run

    whole = Run(tmp_path / "whole", *tiny_data, plan())
    whole.train(show_progress=False)
    first = Run(tmp_path / "parts", *tiny_data, plan())
    for _ in range(2):
        first.train_step()
    first.save()
    first.train_step()  # done after the checkpoint, and lost with the process
    second = Run(tmp_path / "parts", *tiny_data, plan())
    assert second.step == 2
    second.train(show_progress=False)
    for one, other in zip(whole.average.weights, second.average.weights, strict=True):
        assert np.allclose(one, other, atol=1e-5)


def test_log_lines_of_steps_that_are_done_again_are_dropped(tmp_path, tiny_data, plan):
    from workshop.model.train import Run

    run = Run(tmp_path, *tiny_data, plan())
    run.train(save_every=2, log_every=2, show_progress=False)
    with np.load(tmp_path / "checkpoint.npz") as stored:
        arrays = dict(stored)
    np.savez(tmp_path / "checkpoint.npz", **arrays | {"step": np.array(3)})
    Run(tmp_path, *tiny_data, plan())
    steps = [line.split(",")[0] for line in (tmp_path / "log.csv").read_text().splitlines()]
    assert steps == ["step", "2"]


def test_no_image_is_learned_from_and_validated_on(tmp_path, tiny_data, plan):
    from workshop.model.train import Run

    images, labels = tiny_data
    doubled = np.concatenate([images, images]), np.concatenate([labels, labels])
    run = Run(tmp_path, *doubled, plan())
    groups = duplicate_groups(np.concatenate([run.images, run.validation[0]]))
    assert not set(groups[: len(run.images)]) & set(groups[len(run.images) :])
    assert len(run.images) + len(run.validation[0]) == 2 * len(images)


def test_every_face_comes_once_an_epoch_in_a_window_first_and_whole_at_last(tmp_path, tiny_data, plan):
    from workshop.model import train

    run = train.Run(tmp_path, *tiny_data, plan())
    seen, sizes = [], []
    per_epoch = len(run.images) // 8
    for step in range(1, per_epoch + 1):
        x, targets = run.make_batch(*run.batch_arguments(step))
        sizes.append(x.shape[1])
        seen.append(targets.sum())
    assert sizes[:3] == [40, 40, 40] and set(sizes[3:]) == {48}
    assert sum(seen) == pytest.approx(8 * per_epoch)


def test_the_command_trains_calibrates_scores_and_records(tmp_path):
    arguments = [
        "compact",
        "--data",
        "sample",
        "--run-dir",
        str(tmp_path),
        "--epochs",
        "1",
        "--limit",
        "200",
        "--batch-size",
        "50",
        "--validation",
        "0.3",
        "--dtype",
        "float32",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "PublicTest: accuracy" in result.output and "expected calibration error" in result.output
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert record["data"]["is_sample"]
    assert set(record["scores"]) == {"training", "validation", "PublicTest", "PrivateTest"}
    assert record["epochs"] == 1 and record["settings"]["temperature"] > 0
    assert all((tmp_path / name).stat().st_size < 6e6 for name in ("compact.npz", "compact.onnx"))
    assert len(load_dataset("sample", progress=False)) > record["scores"]["PublicTest"]["n"] > 100
    again = CliRunner().invoke(app, arguments)
    assert "Going on after step 2 of 2" in again.output
    other = CliRunner().invoke(app, [*arguments, "--seed", "5"])
    assert other.exit_code != 0 and "started with seed=0, not 5" in str(other.exception)


def test_a_second_training_begins_where_the_first_ended_and_learns_from_its_answers(tmp_path):
    from workshop.model.start import Start
    from workshop.model.train import Plan, Run

    arguments = [
        "compact",
        "--data",
        "sample",
        "--epochs",
        "1",
        "--limit",
        "150",
        "--batch-size",
        "50",
        "--validation",
        "0.3",
        "--dtype",
        "float32",
        "--seed",
    ]
    runner = CliRunner()
    first = runner.invoke(app, [*arguments, "0", "--run-dir", str(tmp_path / "first")])
    assert first.exit_code == 0, first.output
    second = runner.invoke(
        app, [*arguments, "1", "--run-dir", str(tmp_path / "second"), "--start", str(tmp_path / "first")]
    )
    assert second.exit_code == 0, second.output
    settings = json.loads((tmp_path / "second" / "metrics.json").read_text())["settings"]
    start = Start(tmp_path / "first")
    assert settings["start"] == start.fingerprint and settings["trust"] > 0
    # The same pictures are held out, though the seed is another.
    images, labels = load_dataset("sample", progress=False).subset("Training")
    runs = [
        Run(tmp_path / name, images[:300], labels[:300], Plan(**settings, steps=1), start)
        for name, settings in (("a", start.settings | {"trust": 0.5}), ("b", start.settings | {"seed": 1}))
    ]
    assert np.array_equal(runs[0].validation[0], runs[1].validation[0])
    # Half of each target is an answer of the finished model.
    soft = start.answers(runs[0].images, tmp_path / "a")
    assert np.allclose(runs[0].targets, 0.5 * soft + 0.5 * np.eye(7)[runs[0].labels], atol=1e-5)
    assert runs[1].targets.max() == 1 and runs[1].targets.sum() == len(runs[1].labels)


def test_a_student_learns_its_teachers_answers_to_the_very_pictures_it_is_shown(tmp_path):
    from workshop.model.train import LABEL_SMOOTHING, Plan, Run, Teacher

    arguments = ["compact", "--data", "sample", "--limit", "150", "--batch-size", "50", "--dtype", "float32"]
    runner = CliRunner()
    folder, held = tmp_path / "teacher", ("--validation", "0.3")
    first = runner.invoke(
        app, [*arguments, "--epochs", "8", "--width", "0.5", *held, "--seed", "3", "--run-dir", str(folder)]
    )
    assert first.exit_code == 0, first.output
    second = runner.invoke(
        app, [*arguments, "--epochs", "1", "--teacher", str(folder), "--run-dir", str(tmp_path / "student")]
    )
    assert second.exit_code == 0, second.output
    settings = json.loads((tmp_path / "student" / "metrics.json").read_text())["settings"]
    teacher = Teacher(folder)
    assert settings["teacher"] == teacher.fingerprint and settings["trust"] > 0 and settings["widths"] == [48, 96, 192]
    assert teacher.plan.stem == 16 and teacher.plan.widths == [24, 48, 96]
    images, labels = load_dataset("sample", progress=False).subset("Training")
    plan = Plan(batch_size=20, steps=4, trust=0.5, **teacher.settings)
    run = Run(tmp_path / "run", images[:300], labels[:300], plan, teachers=[teacher])
    alone = Run(tmp_path / "alone", images[:300], labels[:300], Plan(seed=3, validation_split=0.3))
    # The teacher's held-out pictures stay held out, though the seed is another.
    assert np.array_equal(run.validation[0], alone.validation[0])
    x, targets = run.make_batch(*run.batch_arguments(1))
    _, mixed = run.completed(x, targets)
    smooth = (1 - LABEL_SMOOTHING) * targets + LABEL_SMOOTHING / 7
    assert np.allclose(mixed, 0.5 * smooth + 0.5 * teacher.network().predict_on_batch(x), atol=1e-4)


def test_a_teacher_that_was_never_trained_is_one_clear_line(tmp_path):
    arguments = ["compact", "--data", "sample", "--limit", "50", "--run-dir", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*arguments, "--teacher", str(tmp_path / "nothing")])
    assert result.exit_code != 0 and "no finished run to learn from" in str(result.exception)


def test_a_run_may_begin_with_one_model_and_learn_the_answers_of_another(tmp_path):
    from fer_utils.common.errors import UserError
    from workshop.model.start import FinishedTeacher, Start
    from workshop.model.train import Plan, Run, Teacher, settings_of

    arguments = [
        "compact",
        "--data",
        "sample",
        "--limit",
        "150",
        "--batch-size",
        "50",
        "--dtype",
        "float32",
        "--width",
        "0.25",
        "--validation",
        "0.3",
    ]
    runner = CliRunner()
    for name, *more in (("first", "--seed", "0"), ("second", "--seed", "2")):
        made = runner.invoke(app, [*arguments, "--epochs", "2", "--run-dir", str(tmp_path / name), *more])
        assert made.exit_code == 0, made.output
    start, itself, other = (Start(tmp_path / "first"), *(FinishedTeacher(tmp_path / n) for n in ("first", "second")))
    with pytest.raises(UserError, match="held out different pictures"):
        settings_of([other], start)
    images, labels = load_dataset("sample", progress=False).subset("Training")
    plan = Plan(batch_size=20, steps=4, trust=0.5, **start.settings | settings_of([itself], start))
    run = Run(tmp_path / "run", images[:300], labels[:300], plan, start, [itself])
    # The labels stay as they are: the answers come with the pictures.
    assert run.targets.max() == 1 and np.array_equal(run.targets.argmax(axis=1), run.labels)
    x, targets = run.make_batch(*run.batch_arguments(1))
    _, mixed = run.completed(x, targets)
    # The finished file answers as softly as the run did that it was made from.
    by_run = Teacher(tmp_path / "first").network().predict_on_batch(x)
    by_file = itself.network().predict_on_batch(x)
    assert np.allclose(by_file, by_run, atol=5e-3) and by_run.std(axis=0).max() > 1e-2
    smooth = 0.9 * targets + 0.1 / 7
    assert np.allclose(mixed, 0.5 * smooth + 0.5 * by_file, atol=1e-4)


@pytest.mark.parametrize("wrong", [("--start", "shipped", "--width", "2"), ("--trust", "0.5")])
def test_options_that_contradict_each_other_are_named(tmp_path, wrong):
    arguments = ["compact", "--data", "sample", "--run-dir", str(tmp_path), *wrong]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and "Invalid value" in result.output


def test_a_start_that_is_no_model_is_one_clear_line(tmp_path):
    arguments = ["compact", "--data", "sample", "--limit", "50", "--run-dir", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*arguments, "--start", str(tmp_path / "nothing")])
    assert result.exit_code != 0 and "no such model" in str(result.exception)
