"""Training: an interrupted run ends where an uninterrupted one does, and refuses to go on as another run."""

import json

import numpy as np
import pytest

from fer_utils.common.files import fingerprint
from workshop.plan import save_weights
from workshop.sample.train import EARLY_NAME, Run, load_weights, usable_images


def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path, toy_faces, toy_plan):
    whole = Run(tmp_path / "whole", *toy_faces, toy_plan())
    whole.train(show_progress=False)

    first = Run(tmp_path / "parts", *toy_faces, toy_plan())
    for _ in range(5):
        first.train_step()
    first.save()
    second = Run(tmp_path / "parts", *toy_faces, toy_plan())
    assert second.step == 5
    second.train(show_progress=False)

    for one, other in zip(whole.model.get_weights(), second.model.get_weights(), strict=True):
        assert np.allclose(one, other, atol=1e-6)
    for one, other in zip(whole.average.weights, second.average.weights, strict=True):
        assert np.allclose(one, other, atol=1e-6)
    assert any(weight.any() for weight in second.model.get_weights())


def test_a_run_can_be_shortened_but_not_changed(tmp_path, toy_faces, toy_plan):
    Run(tmp_path, *toy_faces, toy_plan(steps=100)).save()
    shorter = Run(tmp_path, *toy_faces, toy_plan(steps=3))
    shorter.train(show_progress=False)
    assert shorter.step == 3 and json.loads((tmp_path / "plan.json").read_text())["steps"] == 3
    with pytest.raises(ValueError, match="started with seed=1, not 2"):
        Run(tmp_path, *toy_faces, toy_plan(seed=2))


def test_a_plan_edited_during_the_run_is_followed(tmp_path, toy_faces, toy_plan):
    run = Run(tmp_path, *toy_faces, toy_plan(steps=1000))
    edited = json.loads((tmp_path / "plan.json").read_text()) | {"steps": 4, "decay_from": 1}
    (tmp_path / "plan.json").write_text(json.dumps(edited))
    run.train(save_every=2, show_progress=False)
    assert run.step == 4 and run.plan.decay_from == 1
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3


def test_the_weights_are_kept_once_more_early_in_the_run(tmp_path, toy_faces, toy_plan):
    run = Run(tmp_path, *toy_faces, toy_plan(steps=10))
    run.save()
    assert not (tmp_path / EARLY_NAME).exists()
    run.train(save_every=2, show_progress=False)
    kept, final = load_weights(tmp_path / EARLY_NAME)[1], load_weights(tmp_path / "weights.npz")[1]
    again = Run(tmp_path / "again", *toy_faces, toy_plan(steps=10))
    for _ in range(2):
        again.train_step()
    # Updated every 16 steps, the average is still that of the beginning.
    assert all(np.allclose(one, other, atol=1e-3) for one, other in zip(kept, again.average.weights, strict=True))
    assert not all(np.allclose(one, other, atol=1e-3) for one, other in zip(kept, final, strict=True))


def test_the_learning_rate_rises_stays_and_falls_to_zero(toy_plan):
    plan = toy_plan(steps=100, warmup=10, learning_rate=1.0)
    rates = [plan.rate_at(step) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[59] == 1.0
    assert all(later < earlier for earlier, later in zip(rates[60:], rates[61:], strict=False)) and rates[-1] == 0


def test_weights_are_stored_in_half_precision_with_their_plan_and_the_same_bytes(tmp_path, toy_plan):
    weights = [np.array([0.1, 2.0], "float32"), np.zeros((2, 2), "float32")]
    marks = {save_weights(tmp_path / name, weights, toy_plan()) for name in ("a.npz", "b.npz")}
    assert marks == {fingerprint(tmp_path / "a.npz")}
    plan, loaded = load_weights(tmp_path / "a.npz")
    assert plan.steps == 8 and tuple(plan.widths) == (8, 16)
    assert np.allclose(loaded[0], weights[0], atol=1e-3) and loaded[1].dtype == np.float32


def test_a_file_that_holds_no_weights_is_refused_in_one_line(tmp_path):
    (tmp_path / "weights.npz").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="does not hold the weights") as error:
        load_weights(tmp_path / "weights.npz")
    assert "\n" not in str(error.value)


def test_blank_and_repeated_images_are_not_trained_on():
    images = np.random.default_rng(0).integers(0, 256, (4, 48, 48)).astype("uint8")
    images[1] = 7
    images[3] = images[0]
    assert usable_images(images).tolist() == [0, 2]
