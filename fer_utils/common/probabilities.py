"""What can be done with probabilities without knowing where they come from."""

from __future__ import annotations

import numpy as np

from fer_utils.common.errors import UserError
from fer_utils.common.labels import IMAGE_SIZE

# What a model is tried on once it is loaded: a grey picture, and one that grows brighter from left to right.
TWO_PICTURES = np.stack([np.full((IMAGE_SIZE, IMAGE_SIZE), 128), np.tile(np.linspace(0, 255, IMAGE_SIZE), (48, 1))])
TWO_PICTURES = TWO_PICTURES[..., np.newaxis].astype(np.float32)

TINY = 1e-12


def require_probabilities(answer: np.ndarray, name) -> None:
    """Refuse a model whose answer, float (n, 7), is no probabilities: a network that ends before its softmax, say.

    Args:
        answer: what it predicted, in the type in which it computes.
        name: how the error message calls the model.

    Raises:
        UserError: if a value is not a number or negative, or a row does not sum to 1 within what its type can hold.
    """
    if np.isnan(answer.astype(np.float64)).any():
        raise UserError(f"{name} answers with what is not numbers (NaN): its training went astray, train it anew")
    tolerance = 1e-3 if answer.dtype.itemsize > 2 else 1e-2
    answer = answer.astype(np.float64)
    if not (np.isfinite(answer).all() and (answer >= 0).all() and (abs(answer.sum(axis=1) - 1) <= tolerance).all()):
        values = ", ".join(f"{value:.3g}" for value in answer[0])
        raise UserError(f"{name} answers with {values}, no probabilities: its last layer must be softmax")


def with_temperature(probabilities: np.ndarray, temperature: float, bias=0.0) -> np.ndarray:
    """Return probabilities softened (temperature above 1) or sharpened (below 1); without bias, their order stays.

    The logarithm of a softmax output differs from the logits by a constant, so nothing but the probabilities is
    needed (Guo et al. 2017, "On calibration of modern neural networks", arXiv:1706.04599).

    Args:
        probabilities: float (n, 7), rows that sum to 1.
        temperature: above 0.
        bias: float (7,), added to the logits after they were divided; 0 for none.
    """
    scaled = np.log(np.maximum(np.asarray(probabilities, np.float64), TINY)) / temperature + np.asarray(bias)
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True)


def negative_log_likelihood(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of minus the logarithm of the probability given to the true class, in nats."""
    given = np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(given, TINY)).mean())


def mirror_averaged(probabilities: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Return the geometric mean of two predictions float (n, 7), made to sum to 1: the mean of the logits."""
    both = np.log(np.maximum(np.stack([probabilities, mirrored]).astype(np.float64), TINY)).mean(axis=0)
    both = np.exp(both - both.max(axis=1, keepdims=True))
    return (both / both.sum(axis=1, keepdims=True)).astype(np.float32)
