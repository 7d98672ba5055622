"""Find FER-2013, read it in any of its forms, keep it decoded, split it.

from fer_utils.dataset import load_dataset
dataset = load_dataset()              # $FER_DATA, data/, or the embedded sample
x, y = dataset.subset("Training")     # uint8 (n, 48, 48), int64 (n,)
"""

from fer_utils.dataset.download import download
from fer_utils.dataset.edges import edge_features
from fer_utils.dataset.fer_dataset import FerDataset, SkippedFile
from fer_utils.dataset.files import iterate_files
from fer_utils.dataset.find import find_source
from fer_utils.dataset.load import load_dataset
from fer_utils.dataset.published import PUBLISHED_COUNTS
from fer_utils.dataset.split import divide, duplicate_groups, split_validation, subsample

__all__ = [
    "PUBLISHED_COUNTS",
    "edge_features",
    "FerDataset",
    "SkippedFile",
    "divide",
    "download",
    "duplicate_groups",
    "find_source",
    "iterate_files",
    "load_dataset",
    "split_validation",
    "subsample",
]
