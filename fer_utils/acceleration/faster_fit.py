"""All that makes a `fit` shorter on a CPU without changing what is learned, in one place."""

import contextlib

from fer_utils.acceleration.adam_kernel import fused_adam
from fer_utils.acceleration.convolution_gradient import faster_convolution_gradient
from fer_utils.acceleration.normalisation_kernel import fused_normalisation
from fer_utils.acceleration.untuned_data import prompt_epochs


@contextlib.contextmanager
def faster_fit(model):
    """Let a compiled model train with faster kernels, and without tf.data's tuning, inside the `with` block.

    On another backend than TensorFlow nothing is changed, and on a GPU only the latter.

    Args:
        model: a keras.Model. What it traced before stays as it was, so its first step belongs into the block too.
    """
    with fused_normalisation(model), fused_adam(model.optimizer), faster_convolution_gradient(model), prompt_epochs():
        yield
