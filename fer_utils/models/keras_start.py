"""Keras without the start-up messages that a learner takes for errors."""

import contextlib
import importlib
import logging
import os
import sys
import tempfile
from pathlib import Path

from fer_utils.common.errors import UserError


def only_processors() -> bool:
    """Return whether Keras computes with TensorFlow on a machine without a GPU."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def load_keras():
    """Import and return Keras, holding back what its backend writes to stderr while it starts.

    The messages come from C++ before any setting can silence them, so the file descriptor itself is
    turned aside. If the import fails, they are shown.

    Raises:
        UserError: if Keras cannot start as it is set.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with held_stderr():
        keras = _imported()
        # The first operation writes as well (which processor features are in use).
        keras.ops.convert_to_numpy(keras.ops.zeros(1))
    # A notebook with several networks translates several, which TensorFlow warns of as if it were a mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return keras


def _imported():
    """Import Keras; of the user's own settings the backend counts, while number type and layout are the series' own."""
    try:
        keras = importlib.import_module("keras")
    except Exception as error:
        place = Path(os.environ.get("KERAS_HOME", "~/.keras"), "keras.json")
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"Keras cannot start as it is set ({reason}): unset KERAS_BACKEND, remove {place}, or install the backend"
        ) from error
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    return keras


@contextlib.contextmanager
def held_stderr():
    """Hold back everything written to file descriptor 2, also by C++; show it if an exception passes.

    A UserError says itself what is wrong; the messages would bury it.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except UserError:
            raise
        except BaseException:
            os.dup2(kept, 2)
            held.seek(0)
            sys.stderr.write(held.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
