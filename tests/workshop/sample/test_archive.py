"""The archive: the same bytes every time, and every planted defect where the list says it is."""

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fer_utils.common.labels import EMOTIONS, USAGES
from fer_utils.dataset.download import PUBLISHED_COUNTS
from workshop.sample.archive import ARCHIVE_NAME, DEFECTS_NAME, MANIFEST_NAME, TRUTH_NAME, build_archive
from workshop.sample.counts import base_counts
from workshop.sample.faults import CONFUSED_WITH

DATA = Path(__file__).parents[3] / "data"
SIZES = {"train_size": 400, "test_size": 100}


class Sample:
    """The four files of a sample, read without the library that wrote them."""

    def __init__(self, folder):
        self.folder = folder
        with zipfile.ZipFile(folder / ARCHIVE_NAME) as package:
            self.names = package.namelist()
            self.files = {name: package.read(name) for name in self.names}
        self.defects = list(csv.DictReader(io.StringIO((folder / DEFECTS_NAME).read_text())))
        self.truth = {row["name"]: row for row in csv.DictReader(io.StringIO((folder / TRUTH_NAME).read_text()))}
        self.manifest = json.loads((folder / MANIFEST_NAME).read_text())

    def planted(self, kind):
        return [row for row in self.defects if row["defect"] == kind]

    def pixels(self, name):
        return cv2.imdecode(np.frombuffer(self.files[name], "uint8"), cv2.IMREAD_GRAYSCALE)

    def digest(self, name):
        return hashlib.sha256(self.files[name]).hexdigest()


def clean_faces(sizes):
    """Return as many different pictures of each class as an archive needs."""
    needed = sum(base_counts(**sizes).values())
    labels = np.repeat(np.arange(len(EMOTIONS)), needed)
    coarse = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8)).astype("uint8")
    return np.stack([cv2.resize(image, (48, 48), interpolation=cv2.INTER_CUBIC) for image in coarse]), labels


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    build_archive(*clean_faces(SIZES), seed=4, folder=folder, provenance={"weights_sha256": "none"}, **SIZES)
    return Sample(folder)


@pytest.fixture(scope="module", params=["small", "shipped"])
def sample(request):
    if request.param == "small":
        return request.getfixturevalue("small")
    if not (DATA / ARCHIVE_NAME).exists():
        pytest.skip("this copy of the project has no embedded sample")
    return Sample(DATA)


def test_the_same_faces_and_seed_give_the_same_bytes(small, tmp_path):
    faces = clean_faces(SIZES)
    build_archive(*faces, seed=4, folder=tmp_path / "again", **SIZES)
    build_archive(*faces, seed=5, folder=tmp_path / "other", **SIZES)
    for name in (ARCHIVE_NAME, DEFECTS_NAME, TRUTH_NAME):
        assert (tmp_path / "again" / name).read_bytes() == (small.folder / name).read_bytes()
    assert (tmp_path / "other" / ARCHIVE_NAME).read_bytes() != (small.folder / ARCHIVE_NAME).read_bytes()


def test_too_few_faces_are_refused_by_class(tmp_path):
    images, labels = clean_faces(SIZES)
    few = labels != EMOTIONS.index("sad")
    with pytest.raises(ValueError, match="faces of class sad are needed, 0 were given"):
        build_archive(images[few], labels[few], 1, tmp_path, **SIZES)


def test_the_manifest_describes_the_files(sample):
    for name, digest in sample.manifest["sha256"].items():
        assert hashlib.sha256((sample.folder / name).read_bytes()).hexdigest() == digest
    assert sample.manifest["files"] == len(sample.names) == len(sample.truth)
    for usage in USAGES:
        for emotion in EMOTIONS:
            found = sum(
                name.endswith(".jpg") and name.split("/")[1] == emotion and name.split("/")[2].startswith(usage)
                for name in sample.names
            )
            assert sample.manifest["images_per_label"][usage][emotion] == found
    assert "weights_sha256" in sample.manifest or "note" in sample.manifest


def test_layout_and_names_are_kaggles(sample):
    assert sample.names == sorted(sample.names)
    for name in sample.names:
        folder, emotion, file = name.split("/")
        usage, number = file.rsplit(".", 1)[0].split("_")
        assert emotion in EMOTIONS and usage in USAGES and len(number) == 8 and number.isdigit()
        assert folder == ("train" if usage == "Training" else "test")
    assert (sample.folder / ARCHIVE_NAME).stat().st_size <= 8e6


def test_every_image_is_48_by_48_and_grey(sample):
    unreadable = {row["name"] for row in sample.planted("unreadable")}
    for name in sample.names:
        if name.endswith(".txt") or name in unreadable:
            continue
        with Image.open(io.BytesIO(sample.files[name])) as image:
            assert image.size == (48, 48) and image.mode in ("L", "P")


def test_sizes_and_class_proportions(sample):
    readable = [
        name
        for name, row in sample.truth.items()
        if name.endswith(".jpg") and name not in {row["name"] for row in sample.planted("unreadable")}
    ]
    assert sum(name.startswith("train/") for name in readable) == sample.manifest["train_size"]
    for usage in ("PublicTest", "PrivateTest"):
        assert sum(usage in name for name in readable) == sample.manifest["test_size"] // 2
    for usage in USAGES:
        true = [sample.truth[name]["true_label"] for name in readable if usage in name]
        for emotion, count in zip(EMOTIONS, PUBLISHED_COUNTS[usage], strict=True):
            assert abs(true.count(emotion) / len(true) - count / sum(PUBLISHED_COUNTS[usage])) < 0.06
            assert true.count(emotion) >= 1


def test_each_kind_of_defect_is_planted(sample):
    kinds = {row["defect"] for row in sample.defects}
    assert kinds == {
        "blank",
        "contradicting_copy",
        "exact_duplicate",
        "near_duplicate",
        "other_extension",
        "unreadable",
        "wrong_label",
    }
    assert {row["name"] for row in sample.defects} <= set(sample.names)
    assert len({row["name"] for row in sample.defects}) == len(sample.defects)


def test_clean_means_without_any_defect(sample):
    listed = {row["name"] for row in sample.defects}
    for name, row in sample.truth.items():
        assert row["clean"] == str(name not in listed)
        if name not in listed:
            assert row["label_in_archive"] == row["true_label"] == name.split("/")[1]


def test_exact_copies_are_exactly_the_listed_ones(sample):
    found = {}
    for name in sample.names:
        found.setdefault(sample.digest(name), []).append(name)
    copied = {name for group in found.values() if len(group) > 1 for name in group}
    listed = sample.planted("exact_duplicate") + sample.planted("contradicting_copy")
    empty = {row["name"] for row in sample.planted("unreadable")}
    assert copied - empty == {row["name"] for row in listed} | {row["related"] for row in listed}
    for row in listed:
        assert sample.digest(row["name"]) == sample.digest(row["related"])
        same_folder = row["name"].split("/")[1] == row["related"].split("/")[1]
        assert same_folder == (row["defect"] == "exact_duplicate")


def test_copies_come_at_the_rates_of_fer2013(sample):
    train, test = sample.manifest["train_size"], sample.manifest["test_size"]
    surplus = len(sample.planted("exact_duplicate")) + len(sample.planted("contradicting_copy"))
    assert surplus / (train + test) == pytest.approx(0.05, abs=0.005)
    twins = {
        row["related"]
        for row in sample.planted("exact_duplicate")
        if row["name"].startswith("train/") and row["related"].startswith("test/")
    }
    assert len(twins) / test == pytest.approx(0.08, abs=0.005)


def test_near_duplicates_are_near_but_not_equal(sample):
    for row in sample.planted("near_duplicate"):
        assert sample.files[row["name"]] != sample.files[row["related"]]
        first, second = (sample.pixels(row[key]).astype("float32")[2:-2, 2:-2] for key in ("name", "related"))
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.6


def test_wrong_labels_are_plausible_and_a_tenth(sample):
    wrong = sample.planted("wrong_label")
    for row in wrong:
        truth = sample.truth[row["name"]]
        assert CONFUSED_WITH[truth["true_label"]] == truth["label_in_archive"] == row["name"].split("/")[1]
        assert row["detail"] == f"{truth['true_label']} labelled {truth['label_in_archive']}"
    readable = sample.manifest["train_size"] + sample.manifest["test_size"]
    assert len(wrong) / readable == pytest.approx(0.1, abs=0.015)


def test_blank_images_have_one_grey_value(sample):
    for row in sample.planted("blank"):
        assert np.ptp(sample.pixels(row["name"])) <= 2


def test_unreadable_files_cannot_be_read(sample):
    assert {row["detail"] for row in sample.planted("unreadable")} == {
        "0 bytes",
        "JPEG cut off in its header",
        "text named .jpg",
    }
    for row in sample.planted("unreadable"):
        content = np.frombuffer(sample.files[row["name"]], "uint8")
        assert not len(content) or cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) is None
        with pytest.raises(OSError), Image.open(io.BytesIO(sample.files[row["name"]])) as image:
            image.load()
    assert {Path(row["name"]).suffix for row in sample.planted("other_extension")} == {".txt", ".gif", ".bmp"}
