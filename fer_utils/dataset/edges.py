"""A face as the directions of its edges."""

import cv2
import numpy as np
from tqdm.auto import tqdm

from fer_utils.common.labels import IMAGE_SIZE


def edge_features(images: np.ndarray) -> np.ndarray:
    """Return float32 (n, 900): the histograms of oriented gradients of images uint8 (n, 48, 48).

    Dalal & Triggs 2005, "Histograms of oriented gradients for human detection": the directions of the edges in cells of
    8×8 pixels, which a small shift or another light hardly changes.
    """
    size = (IMAGE_SIZE, IMAGE_SIZE)
    descriptor = cv2.HOGDescriptor(_winSize=size, _blockSize=(16, 16), _blockStride=(8, 8), _cellSize=(8, 8), _nbins=9)
    shown = tqdm(images, "edges", unit="image", delay=2, leave=False)
    return np.stack([descriptor.compute(np.ascontiguousarray(image)) for image in shown]).reshape(len(images), -1)
