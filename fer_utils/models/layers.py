"""Walking through a model's layers."""


def leaves(layer) -> list:
    """Return the layers of a model in their order, those of the models in it included; a layer is its own leaf."""
    inside = getattr(layer, "layers", None)
    return [leaf for part in inside for leaf in leaves(part)] if inside else [layer]


def with_weights(model) -> list:
    """Return those of them that have weights."""
    return [layer for layer in leaves(model) if layer.weights]
