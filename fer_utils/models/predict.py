"""Asking a model: pictures in, probabilities out."""

import numpy as np
from tqdm.auto import tqdm


def predict(model, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Return probabilities float32 (n, 7) of any model of the series, in the order of the images.

    Args:
        model: (n, 48, 48, 1) in 0..255 → (n, 7).
        images: uint8 (n, 48, 48).
        batch_size: images at once; it bounds the memory, not the result.
    """
    return in_batches(model, as_input(np.asarray(images)), batch_size)


def in_batches(model, x: np.ndarray, batch_size: int, progress: bool = True) -> np.ndarray:
    """Return a model's answer to each row, float32 (n, …).

    Args:
        model: a keras.Model with one input and one output.
        x: (n, …), in memory or a memory map, of which only a batch is read at once.
        batch_size: rows at once.
        progress: whether a bar may appear, once it has taken two seconds.
    """
    starts = range(0, len(x), batch_size)
    bar = tqdm(starts, "predicting", unit="batch", delay=2, leave=False, disable=not progress or len(starts) < 2)
    # Batch by batch: `predict` would let TensorFlow measure a pipeline that is not one, and wait for it at the end.
    answers = [np.asarray(model.predict_on_batch(_computable(x[i : i + batch_size])), np.float32) for i in bar]
    return np.concatenate(answers) if answers else np.empty((0, *model.output_shape[1:]), np.float32)


def _computable(rows: np.ndarray) -> np.ndarray:
    # No TensorFlow kernel on a processor takes features as they are kept.
    return np.asarray(rows, np.float32) if rows.dtype == np.float16 else np.asarray(rows)


def as_input(images: np.ndarray) -> np.ndarray:
    """Return uint8 images (n, 48, 48) with the channel axis that every model expects: (n, 48, 48, 1).

    Features, which are float (n, …), and images that have the axis come back as they are.
    """
    is_grey = np.issubdtype(images.dtype, np.integer) and images.ndim == 3
    return images[..., np.newaxis] if is_grey else images
