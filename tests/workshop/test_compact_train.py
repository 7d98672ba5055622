"""Training the compact model: resumed in mid-epoch it ends as if nothing had happened; its parts stay apart."""

import numpy as np
import pytest
from typer.testing import CliRunner

from fer_utils.dataset import duplicate_groups
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


@pytest.mark.workshop
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
    run.step = 3
    run.save()
    lines = ["step,learning_rate,loss,seconds", *(f"{step},0.001,1.9,0.1" for step in (2, 4, 6))]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    assert Run(tmp_path, *tiny_data, plan()).step == 3
    assert (tmp_path / "log.csv").read_text().splitlines() == lines[:2]


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


def test_a_teacher_that_was_never_trained_is_one_clear_line(tmp_path):
    arguments = ["compact", "--data", "sample", "--limit", "50", "--run-dir", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*arguments, "--teacher", str(tmp_path / "nothing")])
    assert result.exit_code != 0 and "no finished run to learn from" in str(result.exception)


@pytest.mark.parametrize("wrong", [("--start", "shipped", "--width", "2"), ("--trust", "0.5")])
def test_options_that_contradict_each_other_are_named(tmp_path, wrong):
    arguments = ["compact", "--data", "sample", "--run-dir", str(tmp_path), *wrong]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and "Invalid value" in result.output


def test_a_start_that_is_no_model_is_one_clear_line(tmp_path):
    arguments = ["compact", "--data", "sample", "--limit", "50", "--run-dir", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*arguments, "--start", str(tmp_path / "nothing")])
    assert result.exit_code != 0 and "no such model" in str(result.exception)
