"""Batches of features."""

import numpy as np


def batches(features: np.ndarray, labels: np.ndarray, batch_size: int, seed: int | None = None, first_epoch: int = 0):
    """Return a keras.utils.PyDataset that reads a memory map batch by batch; `fit` alone would load all of it.

    Args:
        features: float (n, …).
        labels: int64 (n,).
        batch_size: rows in a batch.
        seed: shuffles the rows anew in each epoch; None keeps their order.
        first_epoch: the number of the first epoch, so that resumed training draws the orders that it would have drawn.
    """
    import keras

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
            return np.asarray(features[rows], np.float32), labels[rows]

        def on_epoch_end(self):
            self.epoch += 1
            self.shuffle()

    return Batches()
