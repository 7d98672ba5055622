"""Stratified, seeded, copies on one side."""

import numpy as np
import pytest
from helpers import picture, write_zip

from fer_utils import plots
from fer_utils.audit import counts_by_emotion
from fer_utils.common.errors import UserError
from fer_utils.dataset import divide, duplicate_groups, load_dataset, split_validation, subsample
from fer_utils.dataset.split import linked_groups
from fer_utils.evaluation.scores import class_report, most_confused, score


@pytest.fixture
def with_copies():
    """400 images, of which 120 are copies of others, some under another label."""
    base = np.stack([picture(i) for i in range(280)])
    generator = np.random.default_rng(1)
    copied = generator.integers(0, 280, 120)
    labels = np.arange(280) % 7
    copy_labels = np.where(generator.random(120) < 0.2, (labels[copied] + 1) % 7, labels[copied])
    return np.concatenate([base, base[copied]]), np.concatenate([labels, copy_labels]).astype(np.int64)


def test_groups_number_identical_pictures():
    images = np.stack([picture(i) for i in (5, 6, 5, 7, 6)])
    assert duplicate_groups(images).tolist() == [0, 1, 0, 2, 1]


def test_every_image_once_and_copies_on_one_side(with_copies):
    images, labels = with_copies
    train, validation = split_validation(images, labels, 0.2, seed=3)
    assert sorted([*train, *validation]) == list(range(400))
    groups = duplicate_groups(images)
    assert not set(groups[train]) & set(groups[validation])


def test_stratified_and_of_the_size_asked(with_copies):
    images, labels = with_copies
    _, validation = split_validation(images, labels, 0.2, seed=0)
    share = np.bincount(labels[validation], minlength=7) / np.bincount(labels, minlength=7)
    assert np.all(np.abs(share - 0.2) < 0.1)
    assert abs(len(validation) / 400 - 0.2) < 0.04


def test_seeded(with_copies):
    first, again, other = (split_validation(*with_copies, 0.2, seed=seed)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_groups_are_kept_together_and_so_are_copies_all_the_same(with_copies):
    """Groups from outside are joined with those of identical images: a chain through both stays on one side."""
    images, labels = with_copies
    pairs = np.arange(400) // 2
    train, validation = split_validation(images, labels, seed=0, groups=pairs)
    assert sorted([*train, *validation]) == list(range(400))
    for groups in (pairs, duplicate_groups(images)):
        assert not set(groups[train]) & set(groups[validation])
    assert len(set(pairs[split_validation(images, labels, seed=0)[1]]) & set(pairs[train])) > 0


def test_lonely_groups_change_nothing(with_copies):
    images, labels = with_copies
    plain, alone = (split_validation(images, labels, groups=groups)[1].tolist() for groups in (None, np.arange(400)))
    assert plain == alone


def test_one_group_number_an_image(with_copies):
    with pytest.raises(UserError, match=r"groups has shape \(7,\) for 400 images: give one"):
        split_validation(*with_copies, groups=np.arange(7))


def test_links_join_chains():
    assert linked_groups(6, np.array([4, 1]), np.array([1, 3])).tolist() == [0, 1, 2, 1, 1, 3]
    assert linked_groups(3, np.array([], np.int64), np.array([], np.int64)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_share_out_of_range(with_copies, share):
    with pytest.raises(UserError, match="between 0 and 1"):
        split_validation(*with_copies, share)


def test_too_few_images_of_a_class():
    images = np.stack([picture(i) for i in range(8)])
    with pytest.raises(UserError, match="too few different images"):
        split_validation(images, np.array([0, 0, 0, 0, 1, 1, 1, 2]))


def test_too_few_for_every_class_is_said():
    with pytest.raises(UserError, match="3 of 70 images cannot be chosen"):
        subsample(np.repeat(np.arange(7), 10), 3)


def test_subsample_is_stratified_and_seeded():
    labels = np.repeat(np.arange(7), 100)
    rows = subsample(labels, 70, seed=0)
    assert np.bincount(labels[rows]).tolist() == [10] * 7
    assert rows.tolist() == subsample(labels, 70, seed=0).tolist() == sorted(rows.tolist())
    assert len(subsample(labels, 0)) == len(subsample(labels, 700)) == 700


def test_no_leak_in_the_sample():
    images, labels = load_dataset("sample", progress=False).subset("Training")
    groups = duplicate_groups(images)
    train, validation = split_validation(images, labels, seed=0)
    assert len(set(groups)) < len(groups), "the sample has duplicates to get wrong"
    assert not set(groups[train]) & set(groups[validation])


@pytest.mark.fer2013
def test_no_leak_in_fer2013(fer2013):
    images, labels = load_dataset(fer2013, progress=False).subset("Training")
    train, validation = split_validation(images, labels, seed=0)
    assert not {image.tobytes() for image in images[train]} & {image.tobytes() for image in images[validation]}
    share = np.bincount(labels[validation]) / np.bincount(labels)
    assert np.all(np.abs(share - 0.2) < 0.02)


def test_divide_gives_a_lesson_all_its_parts():
    dataset = load_dataset("sample", progress=False)
    parts = divide(dataset, seed=1)
    assert list(parts) == ["training", "validation", "PublicTest", "PrivateTest"]
    images, labels = dataset.subset("Training")
    fit, held_out = split_validation(images, labels, 0.2, seed=1)
    np.testing.assert_array_equal(parts["training"][0], images[fit])
    np.testing.assert_array_equal(parts["validation"][1], labels[held_out])
    np.testing.assert_array_equal(parts["PublicTest"][1], dataset.subset("PublicTest")[1])
    assert len(divide(dataset, 1, training_images=300)["training"][1]) == 300


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_lesson_goes_on_without_a_class(tmp_path, files):
    """Six classes are divided, scored and drawn; that one is missing is said where the data is read."""
    kept = {name: content for name, content in files.items() if "/fear/" not in name}
    dataset = load_dataset(write_zip(tmp_path / "six.zip", kept), progress=False)
    assert any("has no picture of fear" in problem for problem in dataset.problems)
    parts = divide(dataset)
    assert [len(labels) for _, labels in parts.values()] == [24, 6, 6, 6]
    labels = parts["PublicTest"][1]
    scores = score(labels, np.full((len(labels), 7), 1 / 7), "PublicTest")
    assert np.isfinite([scores["macro_f1"], scores["balanced_accuracy"], scores["ece"]]).all()
    assert class_report(scores).loc["fear", "n"] == 0 and len(most_confused(scores)) == 5
    for figure in (
        plots.confusion_chart(scores, dataset.title),
        plots.counts_chart(counts_by_emotion(dataset), dataset.title),
    ):
        figure.canvas.draw()
    assert counts_by_emotion(dataset).loc["fear"].sum() == 0
