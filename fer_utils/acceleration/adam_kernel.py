"""Adam's step in a third of the time on a CPU: the same arithmetic, by TensorFlow's kernel for it.

Keras 3 composes the step of ten operations, each of which reads and writes arrays as large as the network; the kernel
goes through them once (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1 with the order of section 2). The optimizer stays
Keras's own, so a checkpoint that holds it knows nothing of this.
"""

import contextlib
import types

import keras

from fer_utils.models.keras_start import only_processors


@contextlib.contextmanager
def fused_adam(optimizer):
    """Let an Adam or AdamW take its steps by the kernel inside the `with` block, if the model runs on a CPU.

    On a GPU, Keras lets XLA translate the whole training step, which joins the operations by itself.
    """
    fused = only_processors() and fuse(optimizer)
    try:
        yield
    finally:
        if fused:
            delattr(optimizer, _step_of(optimizer))


def fuse(optimizer) -> bool:
    """Let an Adam or AdamW take its steps by the kernel from now on; return whether that could be done.

    It can with TensorFlow, and without `amsgrad`. Otherwise nothing is changed.
    """
    # A subclass may compute something else, and a wrapper like LossScaleOptimizer has its own step.
    known = type(optimizer) in (keras.optimizers.Adam, keras.optimizers.AdamW) or hasattr(type(optimizer), "adam_step")
    if keras.backend.backend() != "tensorflow" or not known or optimizer.amsgrad:
        return False
    setattr(optimizer, _step_of(optimizer), types.MethodType(_update_step, optimizer))
    return True


def _step_of(optimizer) -> str:
    """Return the name of what takes Adam's step in an optimizer; one that does so for some weights only names it."""
    return "adam_step" if hasattr(type(optimizer), "adam_step") else "update_step"


def _update_step(optimizer, gradient, variable, learning_rate):
    """Do what Adam.update_step does."""
    import tensorflow as tf

    # The parts of an embedding's gradient, and variables that several devices share, are Keras's own affair.
    if (
        isinstance(gradient, tf.IndexedSlices)
        or variable.dtype != tf.float32
        or tf.distribute.get_strategy().num_replicas_in_sync > 1
    ):
        return keras.optimizers.Adam.update_step(optimizer, gradient, variable, learning_rate)
    position = optimizer._get_variable_index(variable)
    step = tf.cast(optimizer.iterations + 1, tf.float32)
    tf.raw_ops.ResourceApplyAdam(
        var=_handle(variable),
        m=_handle(optimizer._momentums[position]),
        v=_handle(optimizer._velocities[position]),
        beta1_power=tf.pow(optimizer.beta_1, step),
        beta2_power=tf.pow(optimizer.beta_2, step),
        lr=tf.cast(learning_rate, tf.float32),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        epsilon=optimizer.epsilon,
        grad=tf.cast(gradient, tf.float32),
    )


def _handle(variable):
    """Return what a kernel knows a variable of TensorFlow, or of Keras around one, by."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
