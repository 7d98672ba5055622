"""Drawing: deterministic, and more faces leave the first ones alone."""

import numpy as np
import pytest

from workshop.plan import save_weights


@pytest.fixture
def velocity(tmp_path, toy_plan):
    from workshop.sample.draw import load_generator

    generator = np.random.default_rng(0)
    network = toy_plan().network()
    weights = [generator.normal(0, 0.2, weight.shape) for weight in network.get_weights()]
    save_weights(tmp_path / "weights.npz", weights, toy_plan())
    return load_generator(tmp_path / "weights.npz")


def test_the_same_seed_draws_the_same_faces(velocity):
    from workshop.sample.draw import draw_faces

    def draw(seed, counts):
        return draw_faces(velocity, counts, seed, steps=2, batch_size=4, image_size=16, show_progress=False)

    images, labels = draw(3, [1, 0, 2, 0, 0, 1, 1])
    assert images.shape == (5, 16, 16) and images.dtype == np.uint8 and labels.tolist() == [0, 2, 2, 5, 6]
    assert np.array_equal(draw(3, [1, 0, 2, 0, 0, 1, 1])[0], images)
    assert not np.array_equal(draw(4, [1, 0, 2, 0, 0, 1, 1])[0], images)
    more, more_labels = draw(3, [2, 0, 2, 0, 0, 1, 1])
    assert np.abs(more[more_labels == 2].astype(int) - images[labels == 2]).max() <= 1
