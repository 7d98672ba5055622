"""Keras without the start-up messages that a learner takes for errors."""

import contextlib
import importlib
import json
import logging
import os
import sys
import tempfile
from pathlib import Path

from fer_utils import devices
from fer_utils.errors import UserError


def load_keras():
    """Import and return Keras, holding back what its backend writes to stderr while it starts.

    The messages come from C++ before any setting can silence them, so the file descriptor itself is
    turned aside. If the import fails, they are shown. `$FER_DEVICES` says on how many devices models are trained.

    Raises:
        UserError: if `$FER_DEVICES` asks for more devices than there are.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    n = devices.devices_asked_for()
    with held_stderr(), _jax_left_alone():
        keras = importlib.import_module("keras")
        devices.prepare(n)
        # The first operation writes as well (which processor features are in use).
        keras.ops.convert_to_numpy(keras.ops.zeros(1))
        devices.use(n)
    # A notebook with several networks translates several, which TensorFlow warns of as if it were a mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return keras


@contextlib.contextmanager
def without_module(name: str):
    """Let imports inside the `with` block do without a module that they would load if it is installed.

    For what a library loads for a purpose that nobody here has, where that takes most of a second. What has been
    imported already stays, and afterwards the module can be imported as ever.
    """
    if name in sys.modules:
        yield
        return
    # Python's own way of saying that a module cannot be imported.
    sys.modules[name] = None
    try:
        yield
    finally:
        del sys.modules[name]


def _jax_left_alone():
    """Keep TensorFlow from loading JAX for a converter; what runs on JAX is not touched."""
    return without_module("jax") if _backend_asked_for() == "tensorflow" else contextlib.nullcontext()


def _backend_asked_for():
    """Return the backend that Keras will choose: the variable, else the user's settings file, else TensorFlow."""
    if "KERAS_BACKEND" in os.environ:
        return os.environ["KERAS_BACKEND"]
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        return json.loads((folder / "keras.json").read_text(encoding="utf-8"))["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


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
