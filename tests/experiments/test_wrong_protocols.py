"""Each broken protocol is broken in the way it says, and the honest one is not."""

import cv2
import numpy as np
import pytest
from helpers import picture
from sklearn.metrics import accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from fer_utils import plots
from fer_utils.dataset import FerDataset, load_dataset
from fer_utils.experiments import workbench, wrong_protocols

LEAKING = ("training accuracy", "oversample, then split", "augment, then split", "duplicates across the split")
TWINS = "test pictures with a twin in Training"


def by_heart(seed):
    """A head that knows every picture it was shown, and guesses about others."""
    return KNeighborsClassifier(1)


@pytest.fixture(scope="module")
def dataset():
    """Textures without meaning, in unequal classes, with exact copies, a near copy, and twins in PublicTest."""
    labels = np.repeat(np.arange(7), (30, 8, 20, 40, 24, 16, 22))
    images = np.stack([picture(i) for i in range(len(labels))])
    test_labels = np.repeat(np.arange(7), 10)
    test = np.stack([picture(1000 + i) for i in range(len(test_labels))])
    brightened = np.clip(images[:1].astype(int) + 6, 0, 255).astype(np.uint8)
    test[::10] = images[np.unique(labels, return_index=True)[1] + 3]
    return FerDataset(
        images=np.concatenate([images, images[::9], brightened, test]),
        labels=np.concatenate([labels, labels[::9], labels[:1], test_labels]),
        usage=np.repeat(["Training", "PublicTest"], [len(images) + len(images[::9]) + 1, len(test)]),
        names=np.array([f"row {i}" for i in range(len(images) + len(images[::9]) + 1 + len(test))]),
        source="textures",
        form="csv",
    )


@pytest.fixture(scope="module")
def bench(dataset):
    return workbench.Workbench(dataset, head=by_heart, progress=False)


def most_alike(pictures, others):
    """Return for each picture the highest correlation with any other, after blurring: found from pixels alone."""

    def vectors(images):
        small = np.stack([cv2.resize(cv2.GaussianBlur(image, (0, 0), 3), (16, 16)) for image in images])
        small = small.reshape(len(images), -1).astype(float)
        small -= small.mean(axis=1, keepdims=True)
        return small / np.linalg.norm(small, axis=1, keepdims=True)

    return (vectors(pictures) @ vectors(others).T).max(axis=1)


def identical(pictures, others):
    seen = {image.tobytes() for image in others}
    return np.array([image.tobytes() in seen for image in pictures])


def test_the_honest_split_has_no_picture_on_both_sides(bench):
    done = wrong_protocols.examine(bench, "honest")
    assert not done.known.any()
    assert not identical(done.examined.images, done.fit.images).any()
    assert most_alike(done.examined.images, done.fit.images).max() < 0.9, "not even a changed copy"
    assert len(done.fit) + len(done.examined) == len(bench.training)


def test_unseen_test_pictures_are_in_training_in_no_form(bench):
    assert identical(bench.test.images, bench.training.images).sum() == 7
    assert not identical(bench.unseen_test.images, bench.training.images).any()
    assert len(bench.unseen_test) == len(bench.test) - 7


@pytest.mark.parametrize("name", ["binary accuracy", "shuffled predictions"])
def test_where_only_the_counting_is_wrong_no_picture_is_known(bench, name):
    assert not wrong_protocols.examine(bench, name).known.any()


@pytest.mark.parametrize("name", [*LEAKING, TWINS])
def test_the_leaking_protocols_have_pictures_on_both_sides(bench, name):
    done = wrong_protocols.examine(bench, name)
    assert done.known.any()
    pixels = identical(done.examined.images, done.fit.images)
    assert pixels.any() or name == "augment, then split"
    assert (done.known[pixels]).all(), "what pixels show, the record of sources must show as well"
    assert is_leak_visible_in_pixels(done)


def is_leak_visible_in_pixels(done):
    alike = most_alike(done.examined.images, done.fit.images)
    return alike[done.known].min() > 0.75 and np.median(alike[done.known]) > 0.95


def test_what_is_known_by_heart_is_reported_as_skill(bench):
    """The textures mean nothing: an honest score is a guess, and every leak shows as a score far above it."""
    table = wrong_protocols.compare(bench, progress=False).set_index("protocol")
    assert table.loc["honest", "low"] < 0.25 and table.loc["honest", "known"] == 0
    for name in ("training accuracy", "oversample, then split", "augment, then split"):
        assert table.loc[name, "low"] > table.loc[name, "honest high"], name
    for name in ("duplicates across the split", TWINS):
        assert table.loc[name, "reported"] > table.loc[name, "honest"], name
    assert table.loc["training accuracy", "reported"] == 1
    assert table.loc["binary accuracy", "reported"] > 0.6
    assert (table[["n", "honest n"]] > 0).all(axis=None)
    assert (table["low"] <= table["reported"]).all() and (table["reported"] <= table["high"]).all()


def test_honest_numbers_are_plain_accuracy_of_the_same_head(bench):
    done = wrong_protocols.examine(bench, "oversample, then split")
    row = wrong_protocols.summarise(bench, done)
    assert row["honest"] == accuracy_score(bench.unseen_test.labels, done.head.predict(bench.unseen_test.features))
    assert row["reported"] == accuracy_score(done.examined.labels, done.head.predict(done.examined.features))
    assert row["n"] == len(done.examined) and row["honest n"] == len(bench.unseen_test)


def test_binary_accuracy_counts_seven_answers_a_picture(bench):
    """A head that names one class for sure gets 7 of 7 answers when it is right and 5 of 7 when it is wrong."""
    done = wrong_protocols.examine(bench, "binary accuracy")
    right = workbench.is_right(done.head, done.examined)
    np.testing.assert_allclose(done.scores, np.where(right, 1, 5 / 7))


def test_shuffled_predictions_lose_their_pictures(bench):
    """The same answers as in the right order, held against other labels."""
    head = KNeighborsClassifier(1).fit(bench.test.features, bench.test.labels)
    knowing = workbench.Workbench.__new__(workbench.Workbench)
    vars(knowing).update(vars(bench) | {"honest_head": head, "done": {}})
    assert workbench.is_right(head, bench.unseen_test).all()
    assert wrong_protocols.examine(knowing, "shuffled predictions").scores.mean() < 0.4


def test_oversampling_makes_classes_equal_by_repeating(bench):
    more = workbench.oversample(bench.training, seed=1)
    assert len(set(np.bincount(more.labels))) == 1
    assert identical(more.images, bench.training.images).all()
    np.testing.assert_array_equal(more.features[: len(bench.training)], bench.training.features)


def test_augmented_versions_are_changed_and_remember_their_source(bench):
    few = bench.training.take(np.arange(20))
    more = workbench.augment(few, seed=1, versions=2)
    versions = more.take(np.arange(20, 60))
    assert len(more) == 60 and not identical(versions.images, few.images).any()
    np.testing.assert_array_equal(versions.sources, np.repeat(few.sources, 2))
    np.testing.assert_array_equal(versions.labels, np.repeat(few.labels, 2))
    assert most_alike(versions.images, few.images).min() > 0.75


def test_each_wrong_protocol_quotes_the_one_line_that_it_ran():
    lines = {name: wrong_protocols.wrong_line(protocol) for name, protocol in wrong_protocols.PROTOCOLS.items()}
    assert lines.pop("honest") == ""
    assert lines["training accuracy"] == "examined = fit"
    for line in lines.values():
        compile(line, "line", "exec")
        assert wrong_protocols.MARK not in line


def test_the_same_seed_gives_the_same_table(dataset):
    first, second = (
        wrong_protocols.compare(workbench.Workbench(dataset, 3, by_heart, progress=False), progress=False)
        for _ in range(2)
    )
    assert first.equals(second)


def test_both_sides_shows_pairs_of_one_photograph(bench):
    done = wrong_protocols.examine(bench, "augment, then split")
    pairs = wrong_protocols.both_sides(done, 5)
    assert pairs.shape == (10, 48, 48)
    assert identical(pairs[:5], done.examined.images).all() and identical(pairs[5:], done.fit.images).all()
    assert not (pairs[:5] == pairs[5:]).all(axis=(1, 2)).any() and most_alike(pairs[:5], pairs[5:]).min() > 0.75
    assert len(wrong_protocols.both_sides(wrong_protocols.examine(bench, "honest"))) == 0


def test_a_protocol_is_carried_out_once(bench):
    first = wrong_protocols.examine(bench, "oversample, then split")
    assert wrong_protocols.examine(bench, "oversample, then split") is first
    words = wrong_protocols.in_words(bench, "oversample, then split")
    assert first.line in words and "this head on unseen pictures" in words
    assert "wrong line" not in wrong_protocols.in_words(bench, "honest")


def test_table_can_be_read_and_drawn(bench, tmp_path):
    table = wrong_protocols.compare(bench, progress=False)
    text = wrong_protocols.readable(table)
    assert "n = " in text.loc["honest", "it reports"] and text.loc["training accuracy", "already known"] == "100%"
    plots.protocol_chart(table).savefig(tmp_path / "figure.png")


def test_the_small_head_learns_by_heart_and_better_than_guessing_on_the_sample():
    """On the embedded sample the story must be told by the head that the notebook uses."""
    bench = workbench.Workbench(load_dataset("sample", progress=False), progress=False)
    rows = {
        name: wrong_protocols.summarise(bench, wrong_protocols.examine(bench, name))
        for name in ("honest", "training accuracy", TWINS)
    }
    assert rows["training accuracy"]["reported"] > 0.95
    assert 0.3 < rows["honest"]["honest"] < 0.7 and rows["honest"]["known"] == 0
    assert rows[TWINS]["known"] > 0.03
    fit, held_out = bench.honest_split
    assert not identical(held_out.images, fit.images).any()


@pytest.mark.fer2013
def test_fer2013_has_pictures_on_both_sides_unless_they_are_kept_together(fer2013):
    bench = workbench.Workbench(load_dataset(fer2013, progress=False), head=by_heart, progress=False)
    fit, held_out = bench.honest_split
    assert not identical(held_out.images, fit.images).any()
    assert identical(bench.test.images, bench.training.images).sum() == 280
    assert not identical(bench.unseen_test.images, bench.training.images).any()
    fit, held_out = workbench.split_rows(bench.training, 0)
    assert identical(held_out.images, fit.images).mean() > 0.05
