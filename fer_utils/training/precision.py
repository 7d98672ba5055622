"""Which numbers to compute with: 32 bits, or 16 where this machine is faster with them.

bfloat16 keeps the range of float32 with 8 significant bits. In Keras's "mixed_bfloat16" the layers compute in it, while
weights, their updates and the loss stay float32. Processors with instructions for it multiply matrices about twice as
fast; one without them has to pretend, and takes longer than with float32. So "auto" tries it out: one convolution of
the kind that a step of the series' networks consists of, in both formats, once on each machine.
"""

import contextlib
import hashlib
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fer_utils.common.paths import cache_folder

BF16_FLAGS = ("avx512_bf16", "amx_bf16")

FORMATS = ("float32", "bfloat16")

WORTH_IT = 1.2

PAIRS = 15

"""How many times faster the convolution must be: of a whole step, less than that would be gained."""

_last_reason = "no number format has been chosen yet"


def choose_precision(wanted: str = "auto") -> str:
    """Set Keras's number format for computation and return its name; `why_precision()` then says why.

    Args:
        wanted: "float32", "mixed_bfloat16", or "auto": mixed_bfloat16 where the processor or a GPU has instructions
            for it and a convolution was measured to be faster with them, else float32. The measurement takes about
            half a second and is kept in the cache folder, so that the choice stays the same on one machine.
    """
    global _last_reason
    import keras

    reason = "as asked"
    if wanted == "auto":
        wanted, reason = _choose()
    keras.config.set_dtype_policy(wanted)
    _last_reason = f"{wanted}: {reason}"
    return wanted


def why_precision() -> str:
    """Return the number format that was chosen last and the reason, in one line."""
    return _last_reason


def measure_speedup() -> float:
    """Return how many times faster a convolution is in bfloat16 than in float32.

    Both are run in turn, and of each the fastest run counts: whatever else the machine does can only slow one down.
    No random number of Keras is drawn, so that what a seed gives does not depend on whether this has run.
    """
    from keras import ops

    generator = np.random.default_rng(0)
    images, kernel = generator.standard_normal((4, 24, 24, 128)), generator.standard_normal((3, 3, 128, 256)) / 34
    inputs = {name: [ops.cast(ops.convert_to_tensor(x, "float32"), name) for x in (images, kernel)] for name in FORMATS}

    def seconds(name):
        started = time.perf_counter()
        answer = ops.conv(*inputs[name], padding="same", data_format="channels_last")
        # A GPU computes on the side; fetching one number waits for it.
        ops.convert_to_numpy(ops.cast(answer[0, 0, 0, 0], "float32"))
        return time.perf_counter() - started

    # The first runs prepare the kernels.
    pairs = [(seconds("float32"), seconds("bfloat16")) for _ in range(PAIRS + 1)][1:]
    float32, bfloat16 = (min(runs) for runs in zip(*pairs, strict=True))
    return float32 / bfloat16


def _choose() -> tuple[str, str]:
    """Return the faster format on this machine, and why it is the one."""
    gpus = _gpus()
    if not gpus and not _has_bfloat16():
        return "float32", "this processor has no instructions for 16-bit numbers"
    path = cache_folder() / f"precision-{_machine(gpus)}.json"
    speedup = None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        speedup = float(json.loads(path.read_text(encoding="utf-8"))["speedup"])
    if speedup is None:
        try:
            speedup = measure_speedup()
        # Each backend has its own error for a format that the hardware cannot do.
        except Exception as error:
            return "float32", f"bfloat16 failed on this machine ({type(error).__name__})"
        # Without a cache folder it is measured each time.
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            building = path.with_suffix(f".{os.getpid()}")
            building.write_text(json.dumps({"speedup": round(speedup, 3)}), encoding="utf-8")
            building.replace(path)
    chosen, only = ("mixed_bfloat16", "") if speedup >= WORTH_IT else ("float32", "only ")
    return chosen, f"a convolution with 16-bit numbers was measured to be {only}{speedup:.1f} times as fast"


def _has_bfloat16() -> bool:
    return any(flag in _processor().split() for flag in BF16_FLAGS)


def _processor() -> str:
    """Return the kernel's description of the first processor, or "" where it gives none."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.read_text().split("\n\n")[0] if cpuinfo.is_file() else ""


def _gpus() -> list[str]:
    """Return the names of the GPUs that the backend can use."""
    import keras

    # Not every backend can list them.
    with contextlib.suppress(Exception):
        return list(keras.distribution.list_devices("gpu"))
    return []


def _machine(gpus: list[str]) -> str:
    """Return a short key for what the measurement depends on: processor, GPUs, backend and its version."""
    import keras

    backend = keras.backend.backend()
    # The lines with a clock or a number of operations differ from one reading to the next.
    kept = ("model name", "flags", "vendor_id")
    lines = [line for line in _processor().splitlines() if line.startswith(kept)]
    described = [*lines, platform.machine(), os.cpu_count(), gpus, backend, version(backend), version("keras")]
    return hashlib.sha256(repr(described).encode()).hexdigest()[:16]
