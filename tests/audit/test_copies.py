"""The audit counts what is there: on a hand-made dataset, on the sample, and on FER-2013 against a plain count."""

import hashlib
import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from helpers import picture
from PIL import Image

from fer_utils import EMOTIONS, audit, plots
from fer_utils.dataset import load_dataset
from fer_utils.dataset.fer_dataset import FerDataset

ANGRY, HAPPY, SAD = (EMOTIONS.index(name) for name in ("angry", "happy", "sad"))


def brighter(image):
    return np.clip(image.astype(int) + 12, 0, 255).astype(np.uint8)


@pytest.fixture
def dataset():
    """Nine pictures: a leak of each kind, a contradiction of each kind, two lonely ones, a blank."""
    a, b, c, d, e = (picture(seed) for seed in range(5))
    rows = [
        (a, HAPPY, "Training"),
        (a, HAPPY, "PublicTest"),
        (b, SAD, "Training"),
        (brighter(b), ANGRY, "PublicTest"),
        (c, SAD, "Training"),
        (c, HAPPY, "Training"),
        (d, HAPPY, "PublicTest"),
        (e, SAD, "PrivateTest"),
        (np.zeros((48, 48), np.uint8), SAD, "PrivateTest"),
        (np.zeros((48, 48), np.uint8), SAD, "Training"),
    ]
    images, labels, usage = zip(*rows, strict=True)
    names = np.array([f"row {i}" for i in range(len(rows))])
    return FerDataset(np.stack(images), np.array(labels), np.array(usage), names, "", "csv")


@pytest.fixture
def copies(dataset):
    return audit.find_copies(dataset, progress=False)


def test_groups_of_each_kind_without_blanks(copies):
    assert copies.index.tolist() == list(range(8))
    assert copies["exact"].tolist() == [0, 0, 1, 2, 3, 3, 4, 5]
    assert copies["near"].tolist() == [0, 0, 1, 1, 2, 2, 3, 4]


def test_twins_by_class(copies):
    table = audit.twins_in_training(copies)
    assert table.loc[("PublicTest", "happy")].tolist() == [2, 1, 0, 50]
    assert table.loc[("PublicTest", "angry")].tolist() == [1, 0, 1, 100]
    assert table.loc[("PublicTest", "all")].tolist() == [3, 1, 1, 66.7]
    assert table.loc[("PrivateTest", "all")].tolist() == [1, 0, 0, 0]


def test_contradicting_labels(copies):
    table = audit.contradictions(copies)
    assert table.loc["exact"].tolist() == [2, 4, 1, 2, 50]
    assert table.loc["near"].tolist() == [3, 6, 2, 4, 66.7]
    assert audit.label_pairs(copies).to_dict() == {"angry and sad": 1, "happy and sad": 1}
    assert audit.label_pairs(copies, "exact").to_dict() == {"happy and sad": 1}


def test_pairs_across_parts_and_their_figure():
    usage = np.array(["Training", "PublicTest", "PrivateTest", "Training"])
    images = np.stack([picture(i) for i in range(4)])
    pairs = pd.DataFrame({"first": [0, 0, 1, 2], "second": [1, 3, 2, 3]})
    across = audit.across_parts(pairs, usage)
    assert across["second"].tolist() == [1, 3]
    figure = plots.copies_grid(images, usage, across)
    assert [ax.get_title() for ax in figure.axes] == ["Training\nPublicTest", "PrivateTest\nTraining", *[""] * 4]
    assert [ax.get_ylabel() for ax in figure.axes][::2] == ["a picture", "its near copy", "difference"]
    assert figure.axes[4].images[0].get_array()[0, 0] == 128 + 3 * (float(images[1, 0, 0]) - float(images[0, 0, 0]))
    plots.copies_grid(images, usage, across.head(0))


def test_a_data_set_without_copies_and_without_a_test_part():
    images = np.stack([picture(i) for i in range(7)])
    alone = FerDataset(images, np.arange(7), np.full(7, "Training"), np.array(list("abcdefg")), "", "csv")
    copies = audit.find_copies(alone, progress=False)
    assert audit.contradictions(copies).to_numpy().sum() == 0
    assert len(audit.label_pairs(copies)) == 0


def test_the_sample_against_its_list_of_planted_faults():
    dataset = load_dataset("sample", cache=False, progress=False)
    copies = audit.find_copies(dataset, progress=False)
    planted = audit.planted_defects().set_index("defect")["detail"]
    table = audit.twins_in_training(copies)
    for usage in ("PublicTest", "PrivateTest"):
        exact = (planted["exact_duplicate"] == f"{usage} and Training").sum()
        near = planted["near_duplicate"].str.endswith(f", {usage} and Training").sum()
        assert exact > 0 and near > 0
        assert table.loc[(usage, "all"), ["exact twin", "near twin only"]].tolist() == [exact, near]
    two = planted["contradicting_copy"].str.split(" also labelled ")
    expected = two.apply(lambda names: " and ".join(sorted(names, key=EMOTIONS.index)))
    assert audit.label_pairs(copies).to_dict() == expected.value_counts().to_dict()


@pytest.mark.fer2013
def test_exact_twins_of_fer2013_against_a_plain_count(fer2013):
    """Read with zipfile, Pillow and hashlib, counted with pandas: nothing of the library is used."""
    if fer2013.suffix != ".zip":
        pytest.skip("needs FER-2013 as archive.zip")
    rows = []
    with zipfile.ZipFile(fer2013) as archive:
        for name in archive.namelist():
            if name.endswith(".jpg"):
                pixels = np.asarray(Image.open(io.BytesIO(archive.read(name))))
                usage, emotion = name.split("/")[-1].split("_")[0], name.split("/")[-2]
                rows.append((usage, emotion, hashlib.md5(pixels.tobytes()).hexdigest(), pixels.std() < 2))
    plain = pd.DataFrame(rows, columns=["usage", "emotion", "pixels", "blank"]).query("not blank")
    known = set(plain.loc[plain["usage"] == "Training", "pixels"])
    tested = plain[plain["usage"] != "Training"]
    expected = tested["pixels"].isin(known).groupby([tested["usage"], tested["emotion"]]).sum()
    labels = plain.groupby("pixels")["emotion"].agg(["size", "nunique"]).query("size > 1")

    copies = audit.find_copies(load_dataset(fer2013, progress=False), progress=False)
    table = audit.twins_in_training(copies)
    assert table["exact twin"].drop("all", level="emotion").to_dict() == expected.to_dict()
    counted = audit.contradictions(copies).loc["exact"]
    assert counted["groups"] == len(labels) and counted["pictures"] == labels["size"].sum()
    assert counted["groups with several labels"] == (labels["nunique"] > 1).sum()
    assert table.loc[("PublicTest", "all"), "near twin only"] > 200


def test_without_a_test_part_there_is_no_twin_to_count():
    copies = pd.DataFrame({"usage": "Training", "emotion": ["sad", "sad"], "exact": [0, 0], "near": [0, 0]})
    table = audit.twins_in_training(copies)
    assert len(table) == 0
    assert table.columns.tolist() == ["pictures", "exact twin", "near twin only", "percent with a twin"]
