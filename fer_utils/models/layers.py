"""Walking through a model's layers."""

from collections.abc import Iterator


def _with_weights(model) -> list:
    return [layer for layer in _leaves(model) if layer.weights]


def _leaves(layer) -> Iterator:
    inside = getattr(layer, "layers", None)
    if not inside:
        yield layer
    for part in inside or ():
        yield from _leaves(part)
