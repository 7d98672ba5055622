"""Training on several devices of one machine: each gets its part of every batch.

The number comes from `$FER_DEVICES`, which `fer run --devices` sets and `quiet.load_keras` reads, so the notebooks need
no word about it. On TensorFlow this is `tf.distribute.MirroredStrategy`, on JAX `keras.distribution.DataParallel`. The
devices are the first GPUs. Where there is none, the processor plays several devices, which is good for tests only: it
does not get faster by it.
"""

import os
import subprocess
import sys

from fer_utils.common.errors import UserError

VARIABLE = "FER_DEVICES"


def devices_asked_for() -> int:
    """Return the number in `$FER_DEVICES`; 1 if it is not set.

    Raises:
        UserError: if it is not a whole number of at least 1.
    """
    text = os.environ.get(VARIABLE) or "1"
    try:
        n = int(text)
    except ValueError:
        n = 0
    if n < 1:
        raise UserError(f"{VARIABLE} must be a whole number of at least 1, not '{text}'")
    return n


def ask_for(n: int) -> None:
    """Set `$FER_DEVICES` for the processes that this one starts, if there are so many devices.

    They are counted in a process of their own: counting loads the framework and may take hold of the GPUs.

    Raises:
        UserError: if there are fewer.
    """
    environment = {**os.environ, VARIABLE: str(n)}
    found = subprocess.run(
        [sys.executable, "-m", "fer_utils.acceleration.devices"], env=environment, stderr=subprocess.PIPE, text=True
    )
    if found.returncode:
        lines = found.stderr.strip().splitlines() or ["the devices could not be counted"]
        raise UserError(lines[-1])
    os.environ[VARIABLE] = str(n)


def prepare(n: int) -> None:
    """Make the framework ready to show `n` devices; call it before Keras computes anything, and before `use`.

    Only processors need it: they are one device unless they are told otherwise before the framework starts.

    Raises:
        UserError: if there are fewer, if the framework has started already, or if Keras's backend is neither
            TensorFlow nor JAX.
    """
    import keras

    if n == 1 or _in_use() == n:
        return
    backend = keras.backend.backend()
    if backend == "tensorflow":
        _prepare_tensorflow(n)
    elif backend == "jax":
        _prepare_jax(n)
    else:
        raise UserError(f"several devices need KERAS_BACKEND=tensorflow or jax, not {backend}: unset {VARIABLE}")


def use(n: int) -> None:
    """Let every model that is built, loaded or trained from now on use the first `n` devices.

    Saved models know nothing of it: what was trained on several devices opens on one, and the other way round.
    """
    import keras

    if n == 1 or _in_use() == n:
        return
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        from fer_utils.acceleration.even_batches import EvenMirroredStrategy

        kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        # Without `with`: a notebook's cells cannot all stand inside one block.
        tf.distribute.experimental_set_strategy(EvenMirroredStrategy([f"{kind}:{i}" for i in range(n)]))
    else:
        devices = keras.distribution.list_devices()[:n]
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))


def _in_use() -> int:
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    distribution = keras.distribution.distribution()
    return len(distribution.device_mesh.devices.ravel()) if distribution else 1


def _prepare_tensorflow(n: int) -> None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    _check(n, len(gpus))
    if gpus:
        return
    (processor,) = tf.config.list_physical_devices("CPU")
    try:
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * n)
    except RuntimeError as error:
        raise UserError(f"{VARIABLE} came too late: call load_keras() before anything else uses TensorFlow") from error


def _prepare_jax(n: int) -> None:
    import jax

    try:
        # Says nothing if there are GPUs. JAX itself must not be asked yet: that would start it.
        jax.config.update("jax_num_cpu_devices", n)
    except RuntimeError as error:
        raise UserError(f"{VARIABLE} came too late: call load_keras() before anything else uses JAX") from error
    _check(n, 0 if jax.default_backend() == "cpu" else jax.device_count())


def _check(n: int, gpus: int) -> None:
    """Refuse more devices than there are; processors count one for each core."""
    cores = os.cpu_count() or 1
    if gpus and n > gpus:
        raise UserError(f"{n} devices asked for, but this machine has {gpus} GPU{'s' if gpus > 1 else ''}")
    if not gpus and n > cores:
        raise UserError(f"{n} devices asked for, but this machine has no GPU that can be used and {cores} cores")


def main() -> None:
    """Exit with 2 and one line on stderr if there are fewer devices than `$FER_DEVICES` says."""
    from fer_utils.models.keras_start import load_keras

    try:
        load_keras()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
