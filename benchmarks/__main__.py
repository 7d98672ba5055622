"""`python -m benchmarks` measures all and writes README.md beside it; `python -m benchmarks opening` prints one."""

import multiprocessing
import os
import platform
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path

from tqdm import tqdm

from benchmarks.side_by_side import rows_of
from fer_utils.dataset import find_source, load_dataset

MODULES = ("opening", "augmenting", "training_step", "frozen", "predicting", "memory", "main_job")
HEAD = """# Benchmarks

Made by `make bench`; do not edit. Each row runs our way and the plain way in turn; of times, one round before is not
counted. Figures are medians; the ratio is the median of the pairs, with its spread. Only the ratio means anything on
another machine.

{machine}

| what | the plain way | ours | plain | ratio (spread) | pairs |
|---|---|---|---|---|---|
"""


def measured_on() -> str:
    """Return the sentence that says on what data and machine was measured."""
    source, _, is_sample, _ = find_source()
    n = len(load_dataset(source, cache=False, progress=False))
    data = f"the embedded sample ({n:,} images)" if is_sample else f"FER-2013 ({n:,} images)"
    return (
        f"Measured {date.today()} on {data}, {os.cpu_count()} processors, {platform.machine()}, "
        f"Python {platform.python_version()}."
    )


def main(names: list[str]) -> None:
    """Measure the named modules, or all and write the table.

    Raises:
        SystemExit: if a name is unknown.
    """
    unknown = sorted(set(names) - set(MODULES))
    if unknown:
        raise SystemExit(f"no benchmark {', '.join(unknown)}: there are {', '.join(MODULES)}")
    rows = []
    # A cache of its own, so that nobody's is emptied; a process for each module, so that none inherits a warm start.
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FER_CACHE"] = folder
        fresh = {"max_workers": 1, "max_tasks_per_child": 1, "mp_context": multiprocessing.get_context("spawn")}
        with ProcessPoolExecutor(**fresh) as processes, tqdm(names or MODULES, unit="benchmark") as bar:
            for name in bar:
                bar.set_description(name)
                rows += processes.submit(rows_of, name).result()
    text = HEAD.format(machine=measured_on()) + "\n".join(rows) + "\n"
    if not names:
        Path(__file__).with_name("README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
