"""The table of starts and stages says what each network was worth, and the test parts count as one."""

import numpy as np
import pandas as pd
import pytest

from fer_utils import evaluation, models, training


@pytest.fixture
def parts(tiny_data):
    images, labels = tiny_data
    cuts = {"training": (0, 77), "validation": (77, 98), "PublicTest": (98, 126), "PrivateTest": (126, 140)}
    return {name: (images[first:last], labels[first:last]) for name, (first, last) in cuts.items()}


@pytest.fixture
def runs(parts, tiny_transfer, tmp_path):
    """Both stages of two networks, of which the second is hardly trained at all."""
    return {
        start: training.two_stages(
            tiny_transfer(),
            ["late"],
            parts["training"],
            parts["validation"],
            name=start,
            output_dir=tmp_path,
            epochs=(4, 2),
            learning_rates=(rate, rate),
        )
        for start, rate in (("faces", 0.02), ("random", 1e-9))
    }


def test_each_cell_is_the_accuracy_of_that_stage_on_that_part(runs, parts):
    table = training.compare_starts(runs, parts).table
    assert table.index.tolist() == ["random weights", "face weights"], "what nothing was borrowed for comes first"
    columns = ["validation part, n = 21", "test parts together, n = 42"]
    assert table.columns.tolist() == [(column, stage) for column in columns for stage in training.STAGES]
    together = np.concatenate([parts[name][0] for name in ("PublicTest", "PrivateTest")])
    labels = np.concatenate([parts[name][1] for name in ("PublicTest", "PrivateTest")])
    pairs = parts["validation"], (together, labels)
    for start, name in (("random", "random weights"), ("faces", "face weights")):
        for stage, run in zip(training.STAGES, runs[start], strict=True):
            for column, (x, y) in zip(columns, pairs, strict=True):
                right = (models.predict(run.model, x).argmax(axis=1) == y).mean()
                low, high = evaluation.wilson_interval(round(right * len(y)), len(y))
                assert table.loc[name, (column, stage)] == f"{right:.1%} ({low:.1%} to {high:.1%})"


def test_the_answers_are_those_of_the_stage_that_was_better_on_the_validation_part(runs, parts):
    def as_if(first, second):
        """Return two runs with other histories than theirs."""
        pairs = zip(runs["faces"], (first, second), strict=True)
        return tuple(
            training.TrainedRun(run.model, pd.DataFrame({"val_accuracy": [0.1, best]}), run.folder)
            for run, best in pairs
        )

    images = np.concatenate([parts[name][0] for name in ("PublicTest", "PrivateTest")])
    for first, second, kept in ((0.5, 0.6, 1), (0.6, 0.5, 0), (0.6, 0.6, 0)):
        compared = training.compare_starts({"faces": as_if(first, second)}, parts)
        expected = models.predict(runs["faces"][kept].model, images)
        np.testing.assert_allclose(compared.answers["faces"], expected, atol=0.02)
        other = models.predict(runs["faces"][1 - kept].model, images)
        assert np.abs(compared.answers["faces"] - other).max() > 0.05
        assert compared.labels.tolist() == [*parts["PublicTest"][1], *parts["PrivateTest"][1]]


def test_a_copy_without_the_second_test_part(runs, parts):
    del parts["PrivateTest"]
    compared = training.compare_starts(runs, parts)
    assert len(compared.labels) == 28 and compared.answers["random"].shape == (28, 7)
    assert compared.table.columns[3][0] == "test parts together, n = 28"
