"""tf.distribute's MirroredStrategy with batches that every device gets the same part of.

The plain one gives an epoch's last batch to the first devices alone where it is small. The others compute on nothing,
and there dropout's gradient fails and batch normalisation learns NaN. Imported only where TensorFlow is in use.
"""

import tensorflow as tf


class EvenMirroredStrategy(tf.distribute.MirroredStrategy):
    """A MirroredStrategy that splits each batch evenly over its devices.

    Batches with labels, for fitting and evaluating, are filled up to a multiple of the number of devices with pictures
    of the same batch: up to (devices − 1) pictures count twice in the last batch of an epoch, and in every batch if
    the batch size is no multiple. Batches without labels, for predicting, keep their rows: a device may get fewer, or
    none, and there is one answer for each picture.
    """

    def experimental_distribute_dataset(self, dataset, options=None):
        """Distribute a tf.data.Dataset of batches; Keras calls this for whatever a model is given."""
        n = self.num_replicas_in_sync
        even = dataset.flat_map(lambda *batch: _parts(batch, n))
        # One element a device and step: the parts are taken in turn.
        return self.distribute_datasets_from_function(lambda context: even.prefetch(2 * n), options)


def _parts(batch: tuple, n: int):
    """Return a tf.data.Dataset of `n` consecutive parts of a batch: a tuple of (inputs,) or (inputs, labels, …)."""
    size = tf.shape(tf.nest.flatten(batch)[0])[0]
    if len(batch) > 1:
        filled = -(-size // n) * n
        rows = tf.range(filled) % size
        batch = tf.nest.map_structure(lambda part: tf.gather(part, rows), batch)
        size = filled

    def part(i):
        begin, end = i * size // n, (i + 1) * size // n
        return tf.nest.map_structure(lambda whole: whole[begin:end], batch)

    return tf.data.Dataset.range(n, output_type=tf.int32).map(part)
