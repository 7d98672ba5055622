"""What FER-2013 holds as it was published, and in what a reading differs from that."""

from collections import Counter

import numpy as np

from fer_utils.common.labels import EMOTIONS, USAGES
from fer_utils.dataset.fer_dataset import FerDataset

# Images per usage in the order of `EMOTIONS`, as the competition published them.
PUBLISHED_COUNTS = {
    "Training": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "PublicTest": (467, 56, 496, 895, 653, 415, 607),
    "PrivateTest": (491, 55, 528, 879, 594, 416, 626),
}

# Of the files; below that they are remarkable, but no reason to doubt the whole.
MANY_SKIPPED = 0.1


def differences(dataset: FerDataset) -> list[str]:
    """Return how the counts differ from the published ones, one sentence each; an empty list if they do not."""
    counts = _counts(dataset)
    return [
        f"{usage} has {counts[usage][label]:,} {emotion} images instead of {published:,}"
        for usage, row in PUBLISHED_COUNTS.items()
        for label, (emotion, published) in enumerate(zip(EMOTIONS, row, strict=True))
        if counts[usage][label] != published
    ]


def is_fer2013(dataset: FerDataset) -> bool:
    """Return whether a reading has the published counts: Training and PublicTest, and PrivateTest if there is one."""
    counts = _counts(dataset)
    there = {usage: tuple(counts[usage].tolist()) for usage in USAGES if usage != "PrivateTest" or counts[usage].any()}
    return all(PUBLISHED_COUNTS[usage] == row for usage, row in there.items())


def shortcomings(dataset: FerDataset) -> list[str]:
    """Return in what a reading is not whole: a class or a part without a picture, much that was skipped.

    Decided here for everybody: the command line, the notebooks and the report only show it.
    """
    counts, found = _counts(dataset), []
    unknown = Counter(item.reason for item in dataset.skipped if item.reason.startswith("unknown emotion"))
    hint = f" ({', '.join(f'{n} files: {reason}' for reason, n in unknown.most_common(3))})" if unknown else ""
    for usage in USAGES:
        absent = [emotion for emotion, n in zip(EMOTIONS, counts[usage], strict=True) if n == 0]
        if 0 < len(absent) < len(EMOTIONS):
            found.append(f"{usage} has no picture of {', '.join(absent)}{hint}: nothing can be learned or scored there")
    if not counts["Training"].any():
        found.append("there is no Training part: models can be scored, not trained")
    if not counts["PublicTest"].any():
        others = " but PrivateTest" if counts["PrivateTest"].any() else ""
        found.append(f"there is no test part{others}: models can be trained, not judged with PublicTest")
    if len(dataset.skipped) > MANY_SKIPPED * (len(dataset) + len(dataset.skipped)):
        first = dataset.skipped[0]
        total = len(dataset) + len(dataset.skipped)
        found.append(
            f"{len(dataset.skipped):,} of {total:,} files or rows were skipped (first: {first.name}: {first.reason})"
        )
    return found


def _counts(dataset: FerDataset) -> dict[str, np.ndarray]:
    n = len(EMOTIONS)
    return {usage: np.bincount(dataset.labels[dataset.usage == usage], minlength=n) for usage in USAGES}
