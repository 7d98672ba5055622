"""Flow matching on arrays: what a batch holds, and that the sampler follows the direction it is given."""

import numpy as np
import pytest

from workshop.sample.flow import (
    NO_CLASS,
    class_balanced_probabilities,
    integrate,
    starting_noise,
    time_grid,
    to_grey,
    to_network_range,
    training_batch,
)


def test_grey_values_survive_the_way_into_the_network_and_back():
    grey = np.arange(256, dtype="uint8").reshape(1, 16, 16)
    assert np.array_equal(to_grey(to_network_range(grey)), grey)


def test_a_rare_class_is_drawn_more_often_than_its_share_and_less_than_the_others():
    labels = np.repeat([0, 1], [900, 100])
    probabilities = class_balanced_probabilities(labels)
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities[labels == 1].sum() == pytest.approx(0.25)


def test_noisy_face_plus_remaining_velocity_is_the_face():
    images = np.random.default_rng(0).integers(0, 256, (20, 48, 48)).astype("uint8")
    labels = np.arange(20) % 7
    (noisy, times, classes), velocity = training_batch(
        images, labels, class_balanced_probabilities(labels), 64, np.random.default_rng(1), label_dropout=0.5
    )
    assert noisy.shape == velocity.shape == (64, 48, 48, 1) and noisy.dtype == np.float32
    assert times.dtype == np.float32 and times.min() > 0 and times.max() < 1
    faces = to_grey(noisy + (1 - times)[:, None, None, None] * velocity)[..., 0]
    known = {image.tobytes() for image in images} | {image[:, ::-1].tobytes() for image in images}
    assert all(face.tobytes() in known for face in faces)
    assert 10 < (classes == NO_CLASS).sum() < 54


@pytest.mark.parametrize("steps", [2, 5])
def test_a_constant_direction_is_followed_exactly(steps):
    noise = starting_noise(3, np.random.default_rng(0), 8)
    drawn = integrate(lambda points, times, classes: np.full_like(points, 0.5), noise, [0, 1, 2], steps, guidance=1.0)
    assert np.allclose(drawn, noise + 0.5, atol=1e-5)


def test_guidance_pushes_away_from_the_direction_without_a_class():
    def velocity(points, times, classes):
        return np.where(classes == NO_CLASS, 1.0, 2.0).astype("float32")[:, None, None, None] + 0 * points

    noise = starting_noise(2, np.random.default_rng(0), 8)
    assert np.allclose(integrate(velocity, noise, [0, 1], 4, guidance=3.0), noise + 4.0, atol=1e-5)
    assert np.allclose(integrate(velocity, noise, [0, 1], 4, guidance=3.0, guided=(2, 3)), noise + 2.0, atol=1e-5)


def test_autoguidance_pushes_away_from_the_early_network_for_the_same_class():
    def velocity(points, times, classes):
        return np.where(classes == NO_CLASS, 1.0, 2.0).astype("float32")[:, None, None, None] + 0 * points

    def early(points, times, classes):
        assert len(points) == 2 and (classes != NO_CLASS).all()
        return np.full_like(points, 1.5)

    noise = starting_noise(2, np.random.default_rng(0), 8)
    drawn = integrate(velocity, noise, [0, 1], 4, guidance=3.0, early=early, autoguidance=2.0)
    assert np.allclose(drawn, noise + 4.5, atol=1e-5)
    alone = integrate(velocity, noise, [0, 1], 4, guidance=1.0, early=early, autoguidance=3.0)
    assert np.allclose(alone, noise + 3.0, atol=1e-5)


def test_times_run_from_noise_to_face():
    grid = time_grid(7)
    assert len(grid) == 8 and grid[0] == 0 and grid[-1] == 1 and (np.diff(grid) > 0).all()
