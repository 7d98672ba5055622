"""A toy run that trains in seconds: 16x16 pictures and a network of a few thousand parameters."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def toy_faces():
    """Random pictures `uint8 (60, 16, 16)` and labels of all seven classes."""
    return np.random.default_rng(0).integers(0, 256, (60, 16, 16)).astype("uint8"), np.arange(60) % 7


@pytest.fixture
def toy_plan():
    """Return a function that makes the plan of a toy run."""
    from workshop.sample.train import Plan

    def make(**changes):
        settings = {
            "steps": 8,
            "batch_size": 4,
            "warmup": 2,
            "widths": (8, 16),
            "blocks": 1,
            "condition_size": 16,
            "image_size": 16,
        }
        return Plan(**{**settings, **changes})

    return make
