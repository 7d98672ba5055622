"""The batches of the coming steps, made by other processes while the network learns.

A GPU is done with a small network's step before one processor has changed the pictures of the next. Each batch depends
on its step alone, so which process makes it, and when, changes nothing.
"""

import os
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

AHEAD = 4

"""So many batches are under way for each process."""

_make = None


def workers_by_default():
    """Return 4 if there are processors enough for them beside the network, else 0."""
    return 4 if (os.cpu_count() or 1) > 8 else 0


def _hold(make):
    """Keep what makes the batches, once in each process: it holds all pictures."""
    global _make
    _make = make


def _made(arguments):
    return _make(*arguments)


class BatchesAhead:
    """Give the batches for consecutive steps in order, made beforehand; a context manager that ends its processes.

    Args:
        make: a function that can be pickled, or an object with `__call__`: make(*arguments) → a batch.
        arguments: a function, step → the arguments of `make`.
        workers: processes that make them; 0 makes each batch when it is asked for, in this process.
    """

    def __init__(self, make, arguments, workers=0):
        self.make, self.arguments = make, arguments
        self.under_way = deque()
        self.limit = AHEAD * workers
        # A process that is copied with its threads, those of Keras's backend among them, may hang: begun afresh it
        # cannot.
        self.pool = (
            ProcessPoolExecutor(workers, get_context("spawn"), initializer=_hold, initargs=(make,)) if workers else None
        )

    def take(self, step):
        """Return the batch of a step; those of the next steps are begun."""
        arguments = self.arguments(step)
        if not self.pool:
            return self.make(*arguments)
        # What was begun for other arguments, because the plan was edited meanwhile, is of no use any more.
        while self.under_way and self.under_way[0][0] != arguments:
            self.under_way.popleft()[1].cancel()
        while len(self.under_way) < self.limit:
            coming = self.arguments(step + len(self.under_way))
            self.under_way.append((coming, self.pool.submit(_made, coming)))
        return self.under_way.popleft()[1].result()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        """End the processes."""
        if self.pool:
            self.pool.shutdown(wait=False, cancel_futures=True)
