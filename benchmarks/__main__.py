"""`python -m benchmarks`: measure everything and write benchmarks/README.md."""

import os
import platform
import tempfile
from datetime import date
from pathlib import Path

from fer_utils.dataset import find_source, load_dataset

HEAD = """# Benchmarks

Made by `make bench`; do not edit. Each row runs our way and the plain way in turn, in one process, after one uncounted
round. Times are medians; the ratio is the median of the pairs, with its spread. Only the ratio means anything on
another machine.

{machine}

| what | the plain way | ours | plain | ratio (spread) | pairs |
|---|---|---|---|---|---|
"""


def main() -> None:
    # A cache of its own, so that nobody's is emptied.
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FER_CACHE"] = folder
        from benchmarks import opening

        source, is_sample = find_source()
        n = len(load_dataset(source, cache=False, progress=False))
        data = f"the embedded sample ({n:,} images)" if is_sample else f"FER-2013 ({n:,} images)"
        rows = [comparison.row() for module in (opening,) for comparison in module.measure()]
    machine = (
        f"Measured {date.today()} on {data}, {os.cpu_count()} processors, {platform.machine()}, "
        f"Python {platform.python_version()}."
    )
    text = HEAD.format(machine=machine) + "\n".join(rows) + "\n"
    Path(__file__).with_name("README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
