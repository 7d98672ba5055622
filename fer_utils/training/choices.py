"""Optimizers, losses and step sizes by name."""

from fer_utils.common.errors import UserError

OPTIMIZERS = ("adam", "muon")


def optimizer(name: str, learning_rate, weight_decay: float = 0.0):
    """Return a new optimizer.

    Args:
        name: "adam", Keras's own, or "muon", which is Adam but for convolutions (`fer_utils.training.muon`).
        learning_rate: a number or a schedule.
        weight_decay: share of itself, times the learning rate, that each weight loses in a step.

    Raises:
        UserError: for another name.
    """
    import keras

    from fer_utils.training.muon import ConvolutionMuon

    if name not in OPTIMIZERS:
        raise UserError(f"the optimizer is {' or '.join(map(repr, OPTIMIZERS))}, not {name!r}")
    made = {"adam": keras.optimizers.Adam, "muon": ConvolutionMuon}[name]
    return made(learning_rate, weight_decay=weight_decay or None)


def loss(label_smoothing: float = 0.0):
    """Return the loss for integer labels and probabilities.

    Args:
        label_smoothing: share of each label that is spread evenly over all expressions (`training.smoothing`).

    Raises:
        UserError: if it is not a share below 1.
    """
    if not 0 <= label_smoothing < 1:
        raise UserError(f"label smoothing is a share from 0 to below 1, not {label_smoothing}")
    if not label_smoothing:
        return "sparse_categorical_crossentropy"
    from fer_utils.training.smoothing import SmoothedCrossentropy

    return SmoothedCrossentropy(label_smoothing)


def cosine_rate(learning_rate: float, epochs: int, n: int, batch_size: int, warm_up: int = 2):
    """Return a learning rate that rises for a few epochs and then falls to zero along half a cosine.

    After Loshchilov & Hutter 2017, "SGDR: Stochastic gradient descent with warm restarts" (arXiv:1608.03983), without
    the restarts; the rise, a straight line from zero, after Goyal et al. 2017 (arXiv:1706.02677).

    Args:
        learning_rate: the highest one.
        epochs: in all; at their end the rate is zero.
        n: training pictures.
        batch_size: pictures a step.
        warm_up: epochs of the rise, at most a fifth of all.

    Returns:
        A keras.optimizers.schedules.LearningRateSchedule.
    """
    import keras

    steps = -(-n // batch_size)
    rise = min(warm_up * steps, epochs * steps // 5)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if rise else learning_rate,
        epochs * steps - rise,
        warmup_target=learning_rate if rise else None,
        warmup_steps=rise,
    )
