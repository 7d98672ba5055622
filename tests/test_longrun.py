"""What all long trainings share; stopping and going on is tested where there is something to train."""

import numpy as np

from fer_utils.longrun import PowerAverage


def test_the_average_of_constant_weights_is_the_constant_and_follows_late_values():
    average = PowerAverage([np.zeros(2)], every=1)
    for step in range(1, 101):
        average.update([np.full(2, 3.0)], step)
    assert np.allclose(average.weights[0], 3.0)
    for step in range(101, 201):
        average.update([np.full(2, 5.0)], step)
    assert 4.9 < average.weights[0][0] < 5.0
