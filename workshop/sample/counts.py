"""How many faces, and how many planted faults of each kind, an archive of some size holds."""

import numpy as np

from fer_utils.common.labels import EMOTIONS, USAGES
from fer_utils.dataset.download import PUBLISHED_COUNTS

# The smallest share of a split that a class gets: disgust must be rare, yet there must be a dozen to score.
MINIMUM_SHARE = {"Training": 0.017, "PublicTest": 0.035, "PrivateTest": 0.035}


def planted_counts(train_size, test_size):
    """Return how many files of every planted defect an archive of this size gets.

    `train_size` and `test_size` are the numbers of readable JPEG files. The rates are FER-2013's own where it has the
    defect: 5 % surplus copies in all (twins, copies within a split and contradicting copies together) and 8 % of the
    test images with a twin in training. At least one of each kind is planted, two where a test part each needs one.
    """
    total = train_size + test_size
    twins = 2 * max(1, round(0.04 * test_size))
    within_test = 2 * max(1, round(0.006 * test_size))
    contradicting = max(1, round(0.003 * total))
    return {
        "twins": twins,
        "within_test": within_test,
        "contradicting": contradicting,
        "within_train": max(1, round(0.05 * total) - twins - within_test - contradicting),
        "near_train": max(3, round(0.0115 * total)),
        "near_across": max(3, round(0.0055 * total)),
        "blank_train": max(1, round(0.002 * train_size)),
        "blank_test": 2,
        "wrong_share": 0.10,
    }


def apportion(total, usage):
    """Share `total` images among the classes in FER-2013's proportions for `usage`; return `int64 (7,)`.

    Every class gets at least `MINIMUM_SHARE` of the total, and the largest class gives what that takes.
    """
    proportions = np.array(PUBLISHED_COUNTS[usage], "float64")
    counts = np.round(total * proportions / proportions.sum()).astype("int64")
    counts = np.maximum(counts, int(np.ceil(MINIMUM_SHARE[usage] * total)))
    counts[np.argmax(counts)] += total - counts.sum()
    return counts


def base_counts(train_size=2800, test_size=700):
    """Return how many different clean faces of each class an archive needs: usage to `int64 (7,)`.

    The key "other" holds the faces that are stored in other formats than JPEG. `test_size` must be even.
    """
    planted = planted_counts(train_size, test_size)
    train = train_size - sum(
        planted[name] for name in ("twins", "contradicting", "within_train", "near_train", "near_across", "blank_train")
    )
    test = (test_size - planted["within_test"] - planted["blank_test"]) // 2
    other = np.zeros(len(EMOTIONS), "int64")
    other[[EMOTIONS.index(name) for name in ("angry", "fear", "happy", "sad", "surprise", "neutral")]] = 1
    return {
        "Training": apportion(train, "Training"),
        "PublicTest": apportion(test, "PublicTest"),
        "PrivateTest": apportion(test, "PrivateTest"),
        "other": other,
    }


def count_labels(truth, clean_only):
    """Count JPEG files per usage and label in the archive; `truth` maps names to (label, true label, clean).

    All files named .jpg are counted, the unreadable ones included, or only the clean ones.
    """
    counts = {usage: dict.fromkeys(EMOTIONS, 0) for usage in USAGES}
    for name, (label, _, clean) in truth.items():
        if name.endswith(".jpg") and (clean or not clean_only):
            counts[name.split("/")[-1].split("_")[0]][label] += 1
    return counts
