"""The average of a network's weights over its training."""

import numpy as np


class PowerAverage:
    """A running average of the weights whose memory grows with training: the last tenth of it counts most.

    The power-function average of Karras et al. 2024 (arXiv:2312.02696, section 3.1): at step `t` the average is
    multiplied by `(1 - 1 / t) ** (power + 1)`. Unlike a fixed decay it needs no tuning to the length of a run.
    `every` tells after how many training steps `update` is called.
    """

    def __init__(self, weights, power=7.0, every=16):
        self.weights = [np.array(weight, "float32") for weight in weights]
        self.power, self.every = power, every

    def keep(self, step, is_last=False):
        """Return the share of the average that step `step` leaves, 1 if it does not touch it; the last always does."""
        if step % self.every and not is_last:
            return 1.0
        return max(0.0, 1.0 - self.every / step) ** (self.power + 1.0)

    def update(self, weights, step):
        """Move the average towards `weights`, the list of arrays after `step` training steps."""
        keep = self.keep(step, is_last=True)
        for average, weight in zip(self.weights, weights, strict=True):
            average *= keep
            average += (1.0 - keep) * np.asarray(weight, "float32")
