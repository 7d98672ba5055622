"""One call from "somewhere there is FER-2013" to arrays."""

import sys
from dataclasses import replace
from pathlib import Path

from fer_utils.common.paths import shown
from fer_utils.dataset.cache import cache_key, load_cached, store
from fer_utils.dataset.fer_dataset import FerDataset
from fer_utils.dataset.find import HOW_TO_GET_IT, Source, find_source
from fer_utils.dataset.published import is_fer2013, shortcomings
from fer_utils.dataset.read import read_source


def load_dataset(data: str | Path | None = None, cache: bool = True, progress: bool = True) -> FerDataset:
    """Open FER-2013, wherever it is and whatever form it has.

    Searches the path given, `$FER_DATA`, `data/`, and falls back on the embedded sample, which it
    says in one visible line. The first time a source is decoded and kept (see
    `fer_utils.common.paths.cache_folder`); after that its images are a read-only memory map.

    Args:
        data: a zip, folder, CSV or `.tar.gz`; "sample" for the embedded sample; None or "" to search.
        cache: whether to use and fill the cache. A cache that cannot be written is done without.
        progress: whether to show a progress bar and say what was assumed, and in what the data is not whole.

    Returns:
        The dataset, in the source's own order (files sorted by path; rows as in the CSV).

    Raises:
        UserError: if the data cannot be found or read; the message names the next step.
    """
    source = find_source(data)
    dataset = _open(source, progress) if cache else read_source(source.path, source.form, progress)
    ours = not source.is_sample and is_fer2013(dataset)
    dataset = replace(dataset, is_sample=source.is_sample, is_fer2013=ours)
    dataset = replace(dataset, problems=[*source.problems, *shortcomings(dataset)])
    if progress:
        print("\n".join(announcement(dataset)))
        say_problems(dataset)
    return dataset


def _open(source: Source, progress: bool) -> FerDataset:
    key = cache_key(source.path)
    dataset = load_cached(key)
    if dataset is None:
        dataset = read_source(source.path, source.form, progress)
        # What changed meanwhile may be neither the old copy nor the new one: the next opening reads again.
        if key and key == cache_key(source.path):
            dataset = store(key, source.path, dataset) or dataset
    return dataset


def announcement(dataset: FerDataset) -> list[str]:
    """Return what a reader has to know about a dataset, in lines: what it is, what was skipped, what was assumed."""
    lines = [
        f"Embedded sample: {len(dataset):,} pictures that stand in for FER-2013; "
        f"figures from it are not FER-2013 figures. For the real data: {HOW_TO_GET_IT}."
        if dataset.is_sample
        else f"FER-2013 from {shown(dataset.source)}: {len(dataset):,} images."
        if dataset.is_fer2013
        else f"Other pictures than FER-2013 (their counts are not the published ones) from {shown(dataset.source)}: "
        f"{len(dataset):,} images."
    ]
    if dataset.skipped:
        lines.append(f"{len(dataset.skipped)} files or rows were skipped; dataset.skipped lists them with the reason.")
    return lines + [f"Note: {note}." for note in dataset.notes]


def say_problems(dataset: FerDataset) -> None:
    """Say in what a dataset is not whole: in a box in a notebook, in a line on stderr elsewhere; nothing if it is."""
    if not dataset.problems:
        return
    text = f"This reading is not whole: {'; '.join(dataset.problems)}."
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
        from fer_utils.common.notices import warn

        warn(text)
    else:
        print(text, file=sys.stderr)
