"""What all long trainings share; stopping and going on is tested where there is something to train."""

import json
import warnings

import numpy as np
import pytest

from workshop.long_run import LongRun
from workshop.plan import Plan
from workshop.power_average import PowerAverage


def test_the_average_of_constant_weights_is_the_constant_and_follows_late_values():
    average = PowerAverage([np.zeros(2)], every=1)
    for step in range(1, 101):
        average.update([np.full(2, 3.0)], step)
    assert np.allclose(average.weights[0], 3.0)
    for step in range(101, 201):
        average.update([np.full(2, 5.0)], step)
    assert 4.9 < average.weights[0][0] < 5.0


@pytest.fixture
def run(tmp_path):
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()

    class Toy(LongRun):
        """Learns a line, and changes plan.json with `edits`, by the step before which that is done."""

        edits: dict[int, str] = {}

        def make_batch(self, step):
            if step in self.edits:
                (self.folder / "plan.json").write_text(self.edits[step])
            x = np.random.default_rng(step).standard_normal((4, 1)).astype("float32")
            return x, 2 * x

    def build():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.AdamW(0.1), "mse")
        return model

    return Toy(tmp_path / "run", Plan(steps=10, warmup=1, batch_size=4), build)


def test_an_edited_plan_is_noticed(run):
    run.edits = {3: json.dumps({"steps": 6, "decay_from": 4})}
    run.train(save_every=2, show_progress=False)
    assert run.step == 6 and run.plan.decay_from == 4


@pytest.mark.parametrize(
    "text", ['{"steps": 6, "dec', "", "[]", '{"steps": "six", "decay_from": null}', '{"steps": 6}']
)
def test_a_plan_that_cannot_be_read_leaves_the_old_one_and_warns_once(run, text):
    run.edits = {3: text}
    with pytest.warns(UserWarning, match="the plan stays as it was") as caught:
        run.train(save_every=2, show_progress=False)
    assert sum("plan.json" in str(warning.message) for warning in caught) == 1 and run.step == 10


def test_a_plan_is_read_again_once_it_is_whole(run):
    run.edits = {3: '{"steps"', 5: json.dumps({"steps": 8, "decay_from": None})}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.train(save_every=2, show_progress=False)
    assert run.step == 8


def test_a_short_run_ends_with_averaged_weights_of_its_own(run):
    before = [weight.copy() for weight in run.average.weights]
    run.train(show_progress=False)
    assert run.plan.steps < run.average.every
    assert all(np.allclose(one, other) for one, other in zip(run.average.weights, run.model.get_weights(), strict=True))
    assert not np.allclose(run.average.weights[0], before[0])
