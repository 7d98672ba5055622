"""The audit finds what was planted, and nothing else."""

import cv2
import numpy as np
import pytest
from helpers import picture, png, write_csv, write_zip

from fer_utils.audit import audit_files, findings, found_defects, planted_defects, report
from fer_utils.audit.files import BLANK_BELOW_SPREAD
from fer_utils.dataset import load_dataset


@pytest.fixture
def planted(tmp_path, files):
    """A zip with one fault of each kind; returns (dataset, audit)."""
    twin, copy, two = png(picture(901)), png(picture(902)), png(picture(903))
    faults = {
        "train/happy/notes.txt": b"text",
        "train/happy/Training_90000001.jpg": b"not a picture",
        "train/happy/Training_90000002.png": png(np.full((48, 48), 77, np.uint8)),
        "train/sad/Training_90000003.png": copy,
        "train/sad/Training_90000004.png": copy,
        "train/fear/Training_90000005.png": twin,
        "test/fear/PublicTest_90000006.png": twin,
        "train/angry/Training_90000007.png": two,
        "train/disgust/Training_90000008.png": two,
    }
    dataset = load_dataset(write_zip(tmp_path / "a.zip", {**files, **faults}), progress=False)
    return dataset, audit_files(dataset, progress=False)


def marked(audit, problem):
    return sorted(name.split("/")[-1] for name in audit.loc[findings(audit)[problem], "name"])


def test_every_file_is_listed(planted, files):
    _, audit = planted
    assert len(audit) == len(files) + 9
    row = audit.set_index("name").loc["train/happy/Training_90000001.jpg"]
    assert (row["usage"], row["emotion"], row["extension"], row["readable"]) == ("Training", "happy", ".jpg", False)


def test_each_fault_is_found_and_nothing_else(planted):
    _, audit = planted
    assert marked(audit, "wrong_extension") == ["notes.txt"]
    assert marked(audit, "unreadable") == ["Training_90000001.jpg"]
    assert marked(audit, "blank") == ["Training_90000002.png"]
    assert marked(audit, "duplicate") == [f"Training_9000000{i}.png" for i in (4, 5, 8)]
    assert marked(audit, "twin_across_splits") == ["PublicTest_90000006.png", "Training_90000005.png"]
    assert marked(audit, "contradicting") == ["Training_90000007.png", "Training_90000008.png"]


def test_report_counts_by_usage(planted):
    _, audit = planted
    table = report(audit)
    assert table.loc["twin across splits", ["Training", "PublicTest", "all"]].tolist() == [1, 1, 2]
    assert table.loc["blank", "all"] == 1


def test_pixels_decide_not_bytes(tmp_path, files):
    image = picture(5)
    strong = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    weak = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes()
    assert strong != weak
    content = {"train/sad/Training_1.png": strong, "train/sad/Training_2.png": weak}
    dataset = load_dataset(write_zip(tmp_path / "a.zip", content), progress=False)
    assert marked(audit_files(dataset, progress=False), "duplicate") == ["Training_2.png"]


def test_rows_of_a_csv_can_be_audited(tmp_path, csv_rows):
    path = write_csv(tmp_path / "fer2013.csv", [*csv_rows, csv_rows[0], "3,1 2 3,Training"])
    audit = audit_files(load_dataset(path, progress=False), progress=False)
    assert len(audit) == 23
    assert marked(audit, "duplicate") == ["row 22"]
    assert audit["readable"].sum() == 22
    assert marked(audit, "wrong_extension") == []


@pytest.fixture(scope="module")
def sample_audit():
    return audit_files(load_dataset("sample", cache=False, progress=False), progress=False)


def test_everything_planted_in_the_sample_is_found(sample_audit):
    """The list of planted faults is the truth; the audit must agree with it, fault by fault."""
    marks = findings(sample_audit)
    planted = planted_defects()
    for defect, problem in {"other_extension": "wrong_extension", "unreadable": "unreadable", "blank": "blank"}.items():
        expected = set(planted.loc[planted["defect"] == defect, "name"])
        assert expected and set(sample_audit.loc[marks[problem], "name"]) == expected


def test_the_report_finds_what_the_extension_rule_cannot(sample_audit):
    table = found_defects(sample_audit, planted_defects())
    rule, found = table["found by the extension rule"], table["found by the report"]
    for kind in ("blank", "exact duplicate", "contradicting copy"):
        assert found[kind] == table.loc[kind, "planted"] > 0 and rule[kind] == 0
    for kind in ("other extension", "unreadable"):
        assert rule[kind] == found[kind] == table.loc[kind, "planted"]
    assert found["wrong label"] < 0.2 * table.loc["wrong label", "planted"], "nothing here looks at labels"


@pytest.mark.fer2013
def test_real_duplicates_against_an_independent_count(fer2013):
    dataset = load_dataset(fer2013, progress=False)
    pixels = np.ascontiguousarray(dataset.images).reshape(len(dataset), -1)
    blank = pixels.std(axis=1) < BLANK_BELOW_SPREAD
    _, inverse = np.unique(pixels[~blank], axis=0, return_inverse=True)
    surplus = (~blank).sum() - len(np.unique(inverse))
    training = set(inverse[dataset.usage[~blank] == "Training"])
    test = inverse[dataset.usage[~blank] != "Training"]
    audit = audit_files(dataset, progress=False)
    marks = findings(audit)
    assert marks["duplicate"].sum() == surplus
    in_test = audit["usage"] != "Training"
    assert (marks["twin_across_splits"] & in_test).sum() == np.isin(test, list(training)).sum()
