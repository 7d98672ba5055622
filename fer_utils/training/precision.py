"""Which numbers to compute with: 32 bits, or 16 where the hardware has instructions for them.

bfloat16 keeps the range of float32 with 8 significant bits. In Keras's "mixed_bfloat16" the layers compute in it, while
weights, their updates and the loss stay float32. Hardware made for it multiplies matrices about twice as fast; without,
it has to pretend, and takes longer than with float32.
"""

import contextlib
import subprocess
from pathlib import Path

BF16_FLAGS = {"avx512_bf16", "amx_bf16"}

# The first generation of NVIDIA's GPUs with cores for bfloat16.
COMPUTE_CAPABILITY = 8.0

_last_reason = "no number format has been chosen yet"


def choose_precision(wanted: str = "auto") -> str:
    """Set Keras's number format for computation and return its name; `why_precision()` then says why.

    Args:
        wanted: "float32", "mixed_bfloat16", or "auto": mixed_bfloat16 where the GPU, or the processor of a machine
            without one, has instructions for it, else float32.
    """
    global _last_reason
    import keras

    reason = "as asked"
    if wanted == "auto":
        device, has_them = ("GPU", _gpu_has_bfloat16()) if _has_gpu() else ("processor", bool(_flags() & BF16_FLAGS))
        wanted = "mixed_bfloat16" if has_them else "float32"
        reason = f"this {device} has {'' if has_them else 'no '}instructions for 16-bit numbers"
    keras.config.set_dtype_policy(wanted)
    _last_reason = f"{wanted}: {reason}"
    return wanted


def why_precision() -> str:
    """Return the number format that was chosen last and the reason, in one line."""
    return _last_reason


def _flags() -> set[str]:
    """Return what the first processor can do, in the words of Linux; nothing on another system."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return set(next((line for line in lines if line.startswith("flags")), "").split())


def _has_gpu() -> bool:
    import keras

    # Not every backend can list them.
    with contextlib.suppress(Exception):
        return bool(keras.distribution.list_devices("gpu"))
    return False


def _gpu_has_bfloat16() -> bool:
    """Ask NVIDIA's own tool, which is the same for every backend; another maker's GPU is left at float32."""
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        query = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout.split()
        return bool(answer) and min(map(float, answer)) >= COMPUTE_CAPABILITY
    return False
