"""The main job: the six notebooks on the embedded sample as `make notebooks` runs them, and one after another.

A single pair: each takes minutes. Both begin with an empty cache, as after the installation.
"""

import os
import subprocess
import sys
import tempfile
import time

from benchmarks.side_by_side import Comparison

JOBS = 2


def measure() -> list[Comparison]:
    """Measure the whole command, from its start to its end."""
    what = f"the main job: six notebooks on the sample, {JOBS} at a time, empty cache"
    return [Comparison(what, "the same, one after another", [_seconds(JOBS)], [_seconds(1)], digits=0)]


def _seconds(jobs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name != "FER_DATA"}
        command = [sys.executable, "-m", "fer_utils", "run", "--profile", "sample", "--out", folder]
        started = time.perf_counter()
        subprocess.run(
            [*command, "--jobs", str(jobs)],
            check=True,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**environment, "FER_CACHE": os.path.join(folder, "cache")},
        )
        return time.perf_counter() - started
