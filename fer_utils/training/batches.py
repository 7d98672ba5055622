"""Batches in an order that depends on nothing but the seed and the epoch."""

import numpy as np

from fer_utils.models.predict import as_input


def batches(x: np.ndarray, labels: np.ndarray, batch_size: int, seed: int | None = None, first_epoch: int = 0):
    """Return a keras.utils.PyDataset of images or features and their labels.

    `fit` alone would load all of a memory map, and would draw an order that a training which goes on after a stop
    cannot draw again.

    Args:
        x: uint8 (n, 48, 48), or features float (n, …).
        labels: int64 (n,).
        batch_size: rows in a batch.
        seed: shuffles the rows anew in each epoch; None keeps their order.
        first_epoch: the number of the first epoch, so that resumed training draws the orders that it would have drawn.
    """
    import keras

    # Several devices take equal parts: where a batch cannot be divided, up to (devices − 1) rows of it count twice.
    distribution = keras.distribution.distribution()
    devices = distribution.device_mesh.devices.size if distribution else 1

    class Batches(keras.utils.PyDataset):
        def __init__(self):
            super().__init__()
            self.epoch = first_epoch
            self.shuffle()

        def shuffle(self):
            n = len(labels)
            self.order = np.arange(n) if seed is None else np.random.default_rng([seed, self.epoch]).permutation(n)

        def __len__(self):
            return -(-len(labels) // batch_size)

        def __getitem__(self, index):
            # In the order of the file, which a disk reads faster; within a batch the order changes nothing.
            rows = np.sort(self.order[index * batch_size : (index + 1) * batch_size])
            rows = np.resize(rows, -(-len(rows) // devices) * devices)
            found = as_input(x[rows])
            return found.astype(np.float32) if found.dtype == np.float16 else found, labels[rows]

        def on_epoch_end(self):
            self.epoch += 1
            self.shuffle()

    return Batches()
