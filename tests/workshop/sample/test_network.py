"""The velocity network: shapes, the two rearrangements of pixels, and that it starts silent."""

import numpy as np
import pytest

from workshop.sample.flow import NO_CLASS
from workshop.sample.network import PixelShuffle, PixelUnshuffle, build_network


def test_velocity_has_the_shape_of_the_faces_and_starts_at_zero():
    network = build_network((8, 16), blocks=1, condition_size=16, image_size=16)
    faces = np.random.default_rng(0).normal(size=(3, 16, 16, 1)).astype("float32")
    velocity = network.predict_on_batch([faces, np.array([0.1, 0.5, 0.9], "float32"), np.array([0, 6, NO_CLASS])])
    assert velocity.shape == faces.shape and velocity.dtype == np.float32
    assert not velocity.any()


def test_the_full_network_stays_small_enough_to_train_on_two_cores():
    assert 4.5e6 < build_network().count_params() < 5.2e6


def test_pixel_shuffle_undoes_pixel_unshuffle():
    x = np.arange(2 * 8 * 8, dtype="float32").reshape(2, 8, 8, 1)
    folded = PixelUnshuffle()(x)
    assert tuple(folded.shape) == (2, 4, 4, 4)
    assert np.array_equal(np.asarray(folded)[0, 0, 0], [0, 1, 8, 9])
    assert np.array_equal(np.asarray(PixelShuffle()(folded)), x)


def test_an_image_size_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="multiple of 8"):
        build_network((8, 8, 8), image_size=20)
