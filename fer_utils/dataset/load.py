"""One call from "somewhere there is FER-2013" to arrays."""

import contextlib
import time
from dataclasses import replace
from pathlib import Path

from fer_utils.common.paths import shown
from fer_utils.dataset.cache import load_cached, source_state, store
from fer_utils.dataset.fer_dataset import FerDataset
from fer_utils.dataset.find import HOW_TO_GET_IT, find_source
from fer_utils.dataset.read import read_source


def load_dataset(data: str | Path | None = None, cache: bool = True, progress: bool = True) -> FerDataset:
    """Open FER-2013, wherever it is and whatever form it has.

    Searches the path given, `$FER_DATA`, `data/`, and falls back on the embedded sample, which it
    says in one visible line. The first time a source is decoded and kept (see
    `fer_utils.common.paths.cache_folder`); after that its images are a read-only memory map.

    Args:
        data: a zip, folder, CSV or `.tar.gz`; "sample" for the embedded sample; None or "" to search.
        cache: whether to use and fill the cache. A cache that cannot be written is done without.
        progress: whether to show a progress bar and say what was assumed.

    Returns:
        The dataset, in the source's own order (files sorted by path; rows as in the CSV).

    Raises:
        UserError: if the data cannot be found or read; the message names the next step.
    """
    source, is_sample = find_source(data)
    dataset = load_cached(source) if cache else None
    if dataset is None:
        dataset = _read_and_store(source, progress) if cache else read_source(source, progress)
    dataset = replace(dataset, is_sample=is_sample)
    if progress:
        print("\n".join(announcement(dataset)))
    return dataset


def _read_and_store(source: Path, progress: bool) -> FerDataset:
    started, states = time.time_ns(), []

    def look():
        # Not at all if a file that was listed has gone.
        with contextlib.suppress(OSError):
            states.append(source_state(source))

    # Asking a folder's files for their times takes as long as a fifth of reading them.
    dataset = read_source(source, progress, meanwhile=look)
    if not states or states[0].newest > started:
        # What was read may be neither the old copy nor the new one: the next opening reads again.
        return dataset
    return store(source, dataset, states[0]) or dataset


def announcement(dataset: FerDataset) -> list[str]:
    """Return what a reader has to know about a dataset, in lines: what it is, what was skipped, what was assumed."""
    lines = [
        f"Embedded sample: {len(dataset):,} pictures that stand in for FER-2013; "
        f"figures from it are not FER-2013 figures. For the real data: {HOW_TO_GET_IT}."
        if dataset.is_sample
        else f"FER-2013 from {shown(dataset.source)}: {len(dataset):,} images."
    ]
    if dataset.skipped:
        lines.append(f"{len(dataset.skipped)} files or rows were skipped; dataset.skipped lists them with the reason.")
    return lines + [f"Note: {note}." for note in dataset.notes]
