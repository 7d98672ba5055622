"""Keras without the start-up messages that a learner takes for errors."""

import contextlib
import importlib
import os
import sys
import tempfile


def load_keras():
    """Import and return Keras, holding back what its backend writes to stderr while it starts.

    The messages come from C++ before any setting can silence them, so the file descriptor itself is
    turned aside. If the import fails, they are shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with held_stderr():
        keras = importlib.import_module("keras")
        # The first operation writes as well (which processor features are in use).
        keras.ops.convert_to_numpy(keras.ops.zeros(1))
    return keras


@contextlib.contextmanager
def held_stderr():
    """Hold back everything written to file descriptor 2, also by C++; show it if an exception passes."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            held.seek(0)
            sys.stderr.write(held.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
