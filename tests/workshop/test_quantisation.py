"""Kernels of eight bits: close to what they stand for, and the same again when they are taken apart twice."""

import numpy as np

from fer_utils.common.stored_weights import widened
from workshop.model.quantisation import quantised


def test_no_number_is_off_by_more_than_half_a_step_of_its_channel():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 5, 4)).astype(np.float32) * [1e-3, 1, 10, 0.2]
    numbers, scale = quantised(kernel)
    assert numbers.dtype == np.int8 and scale.dtype == np.float16 and scale.shape == (4,)
    # The scale is rounded to half precision, which the largest numbers feel by one part in a thousand at most.
    allowed = 0.5 * scale.astype(np.float32) + 1e-3 * np.abs(kernel)
    assert (np.abs(widened(numbers, scale) - kernel) <= allowed).all()
    assert np.abs(numbers).max(axis=(0, 1, 2)).min() >= 126, "each channel uses the whole range"


def test_what_was_taken_apart_once_comes_apart_the_same_way():
    kernel = np.random.default_rng(1).normal(size=(3, 3, 7, 9)).astype(np.float32)
    first = quantised(kernel)
    again = quantised(widened(*first))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


def test_a_channel_of_nothing_stays_nothing():
    numbers, scale = quantised(np.zeros((1, 1, 2, 3), np.float32))
    assert not numbers.any() and not widened(numbers, scale).any()
