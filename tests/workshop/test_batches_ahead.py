"""Batches made by other processes are the ones that this process would have made, in the same order."""

import numpy as np

from workshop.batches_ahead import BatchesAhead
from workshop.model.augment import ChangedFaces, Distortion


def faces():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (12, 48, 48)).astype("uint8")
    targets = np.eye(7, dtype="float32")[generator.integers(0, 7, 12)]
    return ChangedFaces(images, targets, 3, 4, Distortion())


def test_whoever_makes_them_the_batches_are_the_same_also_when_the_plan_changes():
    make, sizes = faces(), {"now": 40}
    with BatchesAhead(make, lambda step: (step, sizes["now"]), workers=1) as ahead:
        for step in range(1, 6):
            if step == 4:
                # Those of this size were under way already.
                sizes["now"] = 48
            x, targets = ahead.take(step)
            expected, expected_targets = make(step, sizes["now"])
            assert np.array_equal(x, expected) and np.array_equal(targets, expected_targets)


def test_without_processes_each_batch_is_made_when_it_is_asked_for():
    asked = []
    with BatchesAhead(lambda step: asked.append(step), lambda step: (step,)) as ahead:
        ahead.take(1)
        ahead.take(2)
    assert asked == [1, 2]
