"""tf.distribute's MirroredStrategy with batches that every device gets the same part of.

The plain one gives an epoch's last batch to the first devices alone where it is small. The others compute on nothing:
there dropout's gradient fails, batch normalisation learns NaN, and convolutions on a processor forget their channels.
Imported only where TensorFlow is in use.
"""

from collections.abc import Callable

import tensorflow as tf


class EvenMirroredStrategy(tf.distribute.MirroredStrategy):
    """A MirroredStrategy that splits each batch evenly over its devices, and lets none compute on nothing.

    Batches with labels, for fitting and evaluating, are filled up to a multiple of the number of devices with pictures
    of the same batch: up to (devices − 1) pictures count twice in the last batch of an epoch, and in every batch if
    the batch size is no multiple. Batches without labels, for predicting, keep their rows: there is one answer for
    each picture.
    """

    def experimental_distribute_dataset(self, dataset, options=None):
        """Distribute a tf.data.Dataset of batches; Keras calls this for whatever a model is given."""
        n = self.num_replicas_in_sync
        even = dataset.flat_map(lambda *batch: _parts(batch, n))
        # One element a device and step: the parts are taken in turn.
        return self.distribute_datasets_from_function(lambda context: even.prefetch(2 * n), options)

    def run(self, fn, args=(), kwargs=None, options=None):
        """Run a step on every device; Keras calls this with ((inputs,),) for predicting."""
        predicts = len(args) == 1 and isinstance(args[0], tuple) and len(args[0]) == 1
        return super().run(_on_something(fn) if predicts else fn, args, kwargs, options)


def _parts(batch: tuple, n: int):
    """Return a tf.data.Dataset of `n` consecutive parts of a batch: a tuple of (inputs,) or (inputs, labels, …)."""
    size = _size(batch)
    if len(batch) > 1:
        filled = -(-size // n) * n
        rows = tf.range(filled) % size
        batch = tf.nest.map_structure(lambda part: tf.gather(part, rows), batch)
        size = filled

    def part(i):
        begin, end = i * size // n, (i + 1) * size // n
        return tf.nest.map_structure(lambda whole: whole[begin:end], batch)

    return tf.data.Dataset.range(n, output_type=tf.int32).map(part)


def _on_something(step: Callable) -> Callable:
    """Return a step that predicts a picture of zeros where its part of the batch is empty, and drops the answer."""

    def filled(data):
        size = _size(data)
        extra = tf.cast(size == 0, tf.int32)

        def fill(part):
            return tf.concat([part, tf.zeros([extra, *part.shape[1:]], part.dtype)], axis=0)

        return tf.nest.map_structure(lambda answer: answer[:size], step(tf.nest.map_structure(fill, data)))

    return filled


def _size(batch: tuple):
    return tf.shape(tf.nest.flatten(batch)[0])[0]
