"""One call from "somewhere there is FER-2013" to arrays."""

from dataclasses import replace
from pathlib import Path

from fer_utils.dataset.cache import load_cached, store
from fer_utils.dataset.find import HOW_TO_GET_IT, find_source
from fer_utils.dataset.read import read_source
from fer_utils.dataset.records import FerDataset
from fer_utils.paths import shown


def load_dataset(data: str | Path | None = None, cache: bool = True, progress: bool = True) -> FerDataset:
    """Open FER-2013, wherever it is and whatever form it has.

    Searches the path given, `$FER_DATA`, `data/`, and falls back on the embedded sample, which it
    says in one visible line. The first time a source is decoded and kept (see
    `fer_utils.paths.cache_folder`); after that its images are a read-only memory map.

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
        dataset = read_source(source, progress)
        dataset = (store(source, dataset) if cache else None) or dataset
    dataset = replace(dataset, is_sample=is_sample)
    if progress:
        _announce(dataset)
    return dataset


def _announce(dataset: FerDataset) -> None:
    if dataset.is_sample:
        print(
            f"Embedded sample: {len(dataset):,} pictures that stand in for FER-2013; "
            f"figures from it are not FER-2013 figures. For the real data: {HOW_TO_GET_IT}."
        )
    else:
        print(f"FER-2013 from {shown(dataset.source)}: {len(dataset):,} images.")
    if dataset.skipped:
        print(f"{len(dataset.skipped)} files or rows were skipped; dataset.skipped lists them with the reason.")
    for note in dataset.notes:
        print(f"Note: {note}.")
