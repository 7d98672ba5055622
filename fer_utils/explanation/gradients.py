"""Gradients with regard to a feature map, for each backend of Keras."""

from fer_utils.common.errors import UserError


def gradient_function():
    """Return a function (scalar function of a tensor, tensor) → gradient, for Keras's current backend."""
    import keras

    name = keras.backend.backend()
    found = {"tensorflow": _tensorflow_gradient, "torch": _torch_gradient, "jax": _jax_gradient}.get(name)
    if found is None:
        raise UserError(f"Grad-CAM needs gradients, which the backend '{name}' does not give: use tensorflow")
    return found


def _tensorflow_gradient(function, x):
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        result = function(x)
    return tape.gradient(result, x)


def _torch_gradient(function, x):
    import torch

    x = x.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(function(x), x)[0]


def _jax_gradient(function, x):
    import jax

    return jax.grad(function)(x)
