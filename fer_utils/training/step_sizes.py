"""How large the steps are, from the first to the last."""


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
