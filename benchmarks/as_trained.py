"""What `training.train` does on a CPU besides calling `fit`, for benchmarks that call `fit` themselves."""

from collections.abc import Callable


def fused(model):
    """Let a compiled model's batch normalisation and Adam be computed by TensorFlow's kernels; return the model."""
    from fer_utils import fused_adam, fused_normalisation

    fused_normalisation.fuse(model)
    fused_adam.fuse(model.optimizer)
    return model


def promptly(epoch: Callable[[], object]) -> Callable[[], None]:
    """Return a function that does what `epoch` does, and ends with its last step."""

    def run():
        from fer_utils.prompt_epochs import prompt_epochs

        with prompt_epochs():
            epoch()

    return run
