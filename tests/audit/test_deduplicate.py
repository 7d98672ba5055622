"""The rules for leaving copies out, and that no leak survives them, however it is put in."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import picture

from fer_utils import audit
from fer_utils.audit.deduplicate import deduplicate, kept_rows
from fer_utils.audit.near_copies import near_groups, near_pairs
from fer_utils.common.errors import UserError
from fer_utils.dataset import duplicate_groups, load_dataset, split_validation
from fer_utils.dataset.fer_dataset import FerDataset

T, P, Q = "Training", "PublicTest", "PrivateTest"


def kept(rows, **options):
    """Return what stays of rows (label, usage, group)."""
    labels, usage, groups = (np.array(column) for column in zip(*rows, strict=True))
    return kept_rows(labels, usage, groups, **options).tolist()


def test_a_training_picture_with_a_copy_in_a_test_part_goes():
    assert kept([(3, T, 0), (3, P, 0), (3, T, 1), (3, T, 2), (3, Q, 2)]) == [1, 2, 4]


def test_copies_in_training_are_reduced_to_the_first():
    assert kept([(3, T, 0), (4, T, 1), (3, T, 0), (3, T, 0)]) == [0, 1]


def test_contradicting_copies_go_or_follow_the_majority():
    rows = [(1, T, 0), (3, T, 0), (3, T, 0), (2, T, 1), (4, T, 1), (5, T, 2)]
    assert kept(rows) == [5]
    assert kept(rows, contradicting="majority") == [1, 5], "two against two has no majority"


def test_test_parts_stay_whole_unless_asked():
    rows = [(3, P, 0), (3, P, 0), (2, Q, 1), (4, Q, 1), (3, Q, 0), (3, T, 2)]
    assert kept(rows) == [0, 1, 2, 3, 4, 5]
    assert kept(rows, within_tests=True) == [0, 4, 5]


def test_unknown_policy_or_rule():
    dataset = load_dataset("sample", cache=False, progress=False)
    with pytest.raises(UserError, match="unknown policy 'all': choose"):
        deduplicate(dataset, "all", progress=False)
    with pytest.raises(UserError, match="unknown rule 'vote': choose"):
        deduplicate(dataset, "exact", contradicting="vote", progress=False)


@pytest.fixture(scope="module")
def sample():
    return load_dataset("sample", cache=False, progress=False)


@pytest.fixture(scope="module")
def clean(sample):
    return deduplicate(sample, "near", progress=False)


def leaks(dataset):
    """Count test pictures with an exact or near copy in Training, mirror images included, and copies in Training."""
    both = [near_pairs(dataset.images, mirrored=mirrored, progress=False) for mirrored in (False, True)]
    pairs = np.concatenate([pairs[["first", "second"]].to_numpy() for pairs in both])
    across = (dataset.usage[pairs] == T).sum(axis=1) == 1
    exact, training = duplicate_groups(dataset.images), dataset.usage == T
    return int(across.sum() + audit.has_twin(exact, ~training, training).sum())


def test_none_changes_nothing(sample):
    assert deduplicate(sample, "none") is sample


def test_what_is_left_of_the_sample(sample, clean):
    """The list of planted faults is the truth: no planted copy may have its original left."""
    assert leaks(sample) > 50 and leaks(clean) == 0
    planted = audit.planted_defects()
    planted = planted[planted["name"].str.startswith("train")].set_index("defect")[["name", "related"]]
    kinds = ["exact_duplicate", "contradicting_copy", "near_duplicate"]
    for dataset, found in ((deduplicate(sample, "exact", progress=False), kinds[:2]), (clean, kinds)):
        names = set(dataset.names.tolist())
        pairs = planted.loc[found].to_numpy().tolist()
        assert len(pairs) > 100 and not any(set(pair) <= names for pair in pairs)
        assert not names & set(planted.loc["contradicting_copy"].to_numpy().ravel())


def test_the_tests_of_the_sample_are_untouched(sample, clean):
    tests = sample.names[sample.usage != T].tolist()
    assert clean.names[clean.usage != T].tolist() == tests


def test_arrays_still_belong_together_and_the_record_says_so(sample, clean):
    where = {name: i for i, name in enumerate(sample.names.tolist())}
    rows = [where[name] for name in clean.names.tolist()]
    assert rows == sorted(rows)
    np.testing.assert_array_equal(clean.images, sample.images[rows])
    np.testing.assert_array_equal(clean.labels, sample.labels[rows])
    assert clean.fingerprint != sample.fingerprint
    assert clean.notes[-1].startswith(f"{len(sample) - len(clean)} of 3,500 pictures were left out")
    assert len(deduplicate(clean, "near", progress=False)) == len(clean), "nothing is left to remove"


CHANGES = {
    "copied": lambda image: image,
    "brightened": lambda image: np.clip(image.astype(int) + 10, 0, 255).astype(np.uint8),
    "shifted": lambda image: np.pad(image, 1, mode="edge")[:-2, 1:-1],
    "mirrored": lambda image: image[:, ::-1],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_leak_that_is_put_back_is_seen(clean, change):
    """Put a test picture into Training: what checks for leaks must notice, and the policy must take it out again."""
    stolen = np.flatnonzero(clean.usage == P)[7]
    leaky = replace(
        clean,
        images=np.concatenate([clean.images, [CHANGES[change](clean.images[stolen])]]),
        labels=np.append(clean.labels, clean.labels[stolen]),
        usage=np.append(clean.usage, T),
        names=np.append(clean.names, "stolen"),
    )
    assert leaks(leaky) == 1
    if change != "mirrored":
        assert leaks(deduplicate(leaky, "near", progress=False)) == 0


def augmented(image, seed):
    """Turn, shift and mirror, so strongly that no hash knows the picture again."""
    import cv2

    generator = np.random.default_rng(seed)
    turn = cv2.getRotationMatrix2D((24, 24), generator.uniform(-40, 40), generator.uniform(0.8, 1.2))
    turned = cv2.warpAffine(image, turn, (48, 48), borderMode=cv2.BORDER_REPLICATE)
    return turned[:, ::-1] if seed % 2 else turned


def test_near_and_augmented_copies_stay_on_one_side_of_the_validation_split():
    base = np.stack([picture(i) for i in range(140)])
    labels = np.tile(np.arange(7), 20)
    images = np.concatenate(
        [base, [CHANGES["brightened"](image) for image in base], [augmented(image, i) for i, image in enumerate(base)]]
    )
    labels, source = np.tile(labels, 3), np.tile(np.arange(140), 3)

    def shared(groups, rows, held):
        return len(set(groups[rows]) & set(groups[held]))

    assert shared(source, *split_validation(images, labels, seed=0)) > 50, "augment, then split: the leak"
    near = near_groups(images, progress=False)
    assert shared(near, *split_validation(images, labels, seed=0, groups=near)) == 0
    assert shared(source, *split_validation(images, labels, seed=0, groups=source)) == 0


def test_a_small_dataset_without_tests():
    images = np.stack([picture(i) for i in (0, 1, 0)])
    alone = FerDataset(images, np.array([0, 1, 0]), np.full(3, T), np.array(["a", "b", "c"]), "", "csv")
    assert deduplicate(alone, "near", progress=False).names.tolist() == ["a", "b"]


@pytest.mark.fer2013
def test_no_exact_copy_is_left_in_fer2013(fer2013):
    dataset = load_dataset(fer2013, progress=False)
    clean = deduplicate(dataset, "exact", progress=False)
    training = [image.tobytes() for image in clean.images[clean.usage == T]]
    assert len(set(training)) == len(training)
    assert not set(training) & {image.tobytes() for image in clean.images[clean.usage != T]}
    assert (clean.usage != T).sum() == (dataset.usage != T).sum()
    assert 26_000 < len(training) < 28_000
