"""Kernels as whole numbers of eight bits, for a model that would be too large a file in half precision.

Each output channel of a convolution has a scale of its own (Krishnamoorthi 2018, "Quantizing deep convolutional
networks for efficient inference", arXiv:1806.08342: symmetric, per channel, weights only). What is computed with is
floating point again: the files become smaller, not the work.
"""

import numpy as np

LARGEST = 127


def quantised(kernel: np.ndarray, largest: int = LARGEST) -> tuple[np.ndarray, np.ndarray]:
    """Return a kernel as int8 and the scale of each output channel.

    Args:
        kernel: float (height, width, inputs, outputs).
        largest: whole number that stands for a channel's largest weight; a smaller one makes a smaller file.

    Returns:
        int8 of the same shape, and float16 (outputs,): the product of both is the kernel, within half a scale. Scales
        are rounded to half precision first, so that a kernel that came from such numbers gives the same ones again.
    """
    kernel = np.asarray(kernel, np.float32)
    scale = (np.abs(kernel).max(axis=(0, 1, 2)) / largest).astype(np.float16)
    divisor = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.clip(np.round(kernel / divisor), -largest, largest).astype(np.int8), scale
