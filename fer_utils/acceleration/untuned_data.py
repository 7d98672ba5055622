"""Epochs that end with their last step, on TensorFlow.

While `fit` or `predict` reads its data, a thread of tf.data measures the pipeline to tune it, after pauses that double:
10 ms, 20 ms, and so on up to a minute. When the data ends, TensorFlow waits for that thread, which often is not woken
from its pause. So every other epoch or so lasts until the next 10 ms × (2ᵏ - 1): one of 4.0 s then takes 5.1 s. Arrays
in memory, and batches that are read one by one, have nothing to be tuned. Here the thread is not started.
"""

import contextlib

import keras


@contextlib.contextmanager
def prompt_epochs():
    """Let `fit`, `evaluate` and `predict` on arrays or a PyDataset do without tf.data's tuning inside the `with` block.

    What is read, and in which order, stays the same. A tf.data.Dataset of one's own is left as it is.
    """
    adapters = _adapters()
    before = [adapter.get_tf_dataset for adapter in adapters]
    for adapter, make in zip(adapters, before, strict=True):
        adapter.get_tf_dataset = _untuned(make)
    try:
        yield
    finally:
        for adapter, make in zip(adapters, before, strict=True):
            adapter.get_tf_dataset = make


def _adapters() -> list[type]:
    """Return what Keras turns arrays and PyDatasets into a tf.data.Dataset with; nothing where it works otherwise."""
    if keras.backend.backend() != "tensorflow":
        return []
    # Keras has no public way to say it; should these be moved, epochs are as long as they were.
    with contextlib.suppress(ImportError):
        from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
        from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

        return [ArrayDataAdapter, PyDatasetAdapter]
    return []


def _untuned(make):
    def get_tf_dataset(adapter):
        import tensorflow as tf

        options = tf.data.Options()
        options.autotune.enabled = False
        return make(adapter).with_options(options)

    return get_tf_dataset
