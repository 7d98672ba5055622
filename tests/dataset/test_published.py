"""A reading that is not whole says so, and only FER-2013 is called FER-2013."""

import sys

import pytest
from helpers import write_folder, write_zip

import fer_utils.dataset.published  # noqa: F401
from fer_utils.dataset import load_dataset
from fer_utils.dataset.fer_dataset import data_title


@pytest.fixture
def published(monkeypatch):
    counts = {"Training": (5,) * 7, "PublicTest": (1,) * 7, "PrivateTest": (1,) * 7}
    monkeypatch.setattr(sys.modules["fer_utils.dataset.published"], "PUBLISHED_COUNTS", counts)


def test_other_pictures_are_not_called_fer2013(tmp_path, files, capsys):
    dataset = load_dataset(write_zip(tmp_path / "archive.zip", files))
    assert not dataset.is_fer2013 and dataset.title == "other pictures"
    assert "Other pictures than FER-2013" in capsys.readouterr().out
    assert dataset.problems == []


def test_the_published_counts_are_with_and_without_the_last_part(tmp_path, files, published, capsys):
    dataset = load_dataset(write_zip(tmp_path / "a.zip", files))
    assert dataset.is_fer2013 and dataset.title == "FER-2013" and dataset.problems == []
    assert "not whole" not in capsys.readouterr().err
    without = {name: content for name, content in files.items() if "PrivateTest" not in name}
    assert load_dataset(write_zip(tmp_path / "b.zip", without), progress=False).is_fer2013
    name = next(name for name in files if "PublicTest" in name)
    fewer = {key: content for key, content in files.items() if key != name}
    assert not load_dataset(write_zip(tmp_path / "c.zip", fewer), progress=False).is_fer2013
    assert load_dataset(write_zip(tmp_path / "a.zip", files), progress=False).is_fer2013, "from the cache, too"


def test_the_sample_is_whole_and_never_fer2013():
    dataset = load_dataset("sample", progress=False)
    assert dataset.problems == [] and not dataset.is_fer2013 and dataset.title == "embedded sample"
    assert data_title(False) == "FER-2013", "records from before this was asked"


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("PublicTest|PrivateTest", "there is no test part: models can be trained, not judged with PublicTest"),
        ("PublicTest", "there is no test part but PrivateTest: models can be trained, not judged with PublicTest"),
        ("Training", "there is no Training part: models can be scored, not trained"),
        ("fear", "Training has no picture of fear: nothing can be learned or scored there"),
    ],
)
def test_what_is_missing_is_said(tmp_path, files, capsys, left_out, said):
    kept = {name: content for name, content in files.items() if not any(part in name for part in left_out.split("|"))}
    dataset = load_dataset(write_folder(tmp_path / "f", kept))
    assert said in dataset.problems
    err = capsys.readouterr().err
    assert err.count("This reading is not whole") == 1 and said in err
    assert dataset.problems == load_dataset(tmp_path / "f", progress=False).problems, "from the cache, too"


def test_much_that_was_skipped_is_said(tmp_path, files):
    bad = {f"train/happy/Training_bad{n}.png": b"x" for n in range(20)}
    problems = load_dataset(write_zip(tmp_path / "a.zip", files | bad), progress=False).problems
    assert problems == [
        "20 of 69 files or rows were skipped (first: train/happy/Training_bad0.png: not a readable image)"
    ]


def test_in_a_notebook_it_is_a_box(tmp_path, files, monkeypatch, capsys):
    boxes = []
    monkeypatch.setattr("IPython.get_ipython", lambda: "a shell")
    monkeypatch.setattr("fer_utils.common.notices.warn", boxes.append)
    load_dataset(write_zip(tmp_path / "a.zip", {name: c for name, c in files.items() if "Training" in name}))
    assert len(boxes) == 1 and "there is no test part" in boxes[0]
    assert "not whole" not in capsys.readouterr().err
