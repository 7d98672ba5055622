"""Asking a model: pictures in, probabilities out."""

from weakref import WeakKeyDictionary

import numpy as np
from tqdm.auto import tqdm

# Cutting a model again for each part would let TensorFlow translate it again. Both halves share the model's weights.
_cut_models = WeakKeyDictionary()


def predict(model, images: np.ndarray, batch_size: int = 256, frozen_once: bool = False) -> np.ndarray:
    """Return probabilities float32 (n, 7) of any model of the series, in the order of the images.

    Args:
        model: (n, 48, 48, 1) in 0..255 → (n, 7).
        images: uint8 (n, 48, 48).
        batch_size: images at once; it bounds the memory, not the result.
        frozen_once: use what the frozen layers at the model's beginning made of these images when it was trained
            with `frozen_once` (see `fer_utils.training.frozen_layers`); it is computed and kept if it is not there.

    Raises:
        UserError: with `frozen_once` if nothing at the model's beginning is frozen.
    """
    if frozen_once:
        from fer_utils.training import feature_batches, feature_store, frozen_layers

        if model not in _cut_models:
            _cut_models[model] = frozen_layers.split_frozen(model)
        frozen, model = _cut_models[model]
        kept = feature_store.compute(frozen, images, min(batch_size, 64))
        data = {"x": _without_labels(feature_batches.batches(kept, np.zeros(len(images)), batch_size))}
    else:
        data = {"x": np.asarray(images)[..., np.newaxis], "batch_size": batch_size}
    from fer_utils.acceleration.untuned_data import prompt_epochs

    with prompt_epochs():
        return np.asarray(model.predict(**data, verbose=0, callbacks=_progress(len(images), batch_size)))


def _without_labels(batches):
    """Return a keras.utils.PyDataset of the inputs alone; on several devices, batches with labels are filled up."""
    import keras

    class Inputs(keras.utils.PyDataset):
        def __len__(self):
            return len(batches)

        def __getitem__(self, index):
            return batches[index][:1]

    return Inputs()


def _progress(n: int, batch_size: int) -> list:
    """Return the Keras callback that shows a bar once predicting has taken two seconds; none for a single batch."""
    if n <= batch_size:
        return []
    import keras

    bar = tqdm(total=-(-n // batch_size), desc="predicting", unit="batch", delay=2, leave=False)
    return [
        keras.callbacks.LambdaCallback(
            on_predict_batch_end=lambda batch, logs: bar.update(), on_predict_end=lambda logs: bar.close()
        )
    ]


def as_input(images: np.ndarray) -> np.ndarray:
    """Return uint8 images (n, 48, 48) with the channel axis that every model expects: (n, 48, 48, 1).

    Features, which are float (n, …), and images that have the axis come back as they are.
    """
    is_grey = np.issubdtype(images.dtype, np.integer) and images.ndim == 3
    return np.asarray(images)[..., np.newaxis] if is_grey else images
