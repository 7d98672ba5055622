"""Usual names are understood, and the rest is said."""

import pytest
from helpers import picture, png, write_folder

from fer_utils import EMOTIONS
from fer_utils.dataset import load_dataset
from fer_utils.dataset.names import label_of, part_of, quoted

NAMES = {
    "angry": ["Anger", "ANGRY", "0", "0_angry", " angry "],
    "disgust": ["disgusted", "1", "1-Disgust"],
    "fear": ["fearful", "Fear", "2"],
    "happy": ["Happiness", "3", "3 happy"],
    "sad": ["sadness", "4"],
    "surprise": ["surprised", "5", "6_surprise"],
    "neutral": ["Neutral", "6", "4_neutral"],
}


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_usual_names_of_the_seven(emotion):
    assert {label_of(name) for name in NAMES[emotion]} == {EMOTIONS.index(emotion)}


@pytest.mark.parametrize("name", ["", "7", "00", "suprise", "contempt", "angry2", "_", "²"])
def test_other_names_mean_nothing(name):
    assert label_of(name) is None


def test_usual_names_of_the_parts():
    assert {part_of(name) for name in ("train", "Training", " TRAIN ")} == {"Training"}
    assert {part_of(name) for name in ("val", "valid", "Validation")} == {"validation"}
    assert part_of("Public_Test") == part_of("PublicTest") == "PublicTest" and part_of("rest") is None


def test_quotations_are_short_and_of_one_line():
    assert quoted("a\n b") == "a b" and len(quoted("x" * 9000)) == 60
    assert quoted("caf\udce9").isprintable()


def renamed(files, change) -> dict:
    """Return files under other paths, without the official usage in their names."""
    found = {}
    for name, content in files.items():
        part, emotion, last = name.split("/")
        found[change(part, emotion, last)] = content
    return found


def test_adjectives(tmp_path, files):
    words = {"disgust": "Disgusted", "fear": "fearful", "surprise": "surprised "}
    folder = write_folder(tmp_path / "f", renamed(files, lambda *p: f"{p[0]}/{words.get(p[1], p[1])}/{p[2]}"))
    dataset = load_dataset(folder, progress=False)
    assert dataset.counts().loc["Training"].tolist() == [5] * 7 and dataset.problems == []


def test_a_misspelt_class_is_said_loudly(tmp_path, files, capsys):
    folder = write_folder(
        tmp_path / "f", {name.replace("surprise/", "suprise/"): content for name, content in files.items()}
    )
    problems = load_dataset(folder).problems
    for usage in ("Training", "PublicTest", "PrivateTest"):
        assert any(problem.startswith(f"{usage} has no picture of surprise (7 files: unknown") for problem in problems)
    assert "suprise" in capsys.readouterr().err


def test_train_and_validation(tmp_path, files):
    bare = renamed(files, lambda part, emotion, last: f"{part}/{emotion}/{last.split('_')[1]}")
    folder = write_folder(
        tmp_path / "f", {name.replace("test/", "Valid/", 1): content for name, content in bare.items()}
    )
    dataset = load_dataset(folder, progress=False)
    assert dataset.counts().sum(axis=1).to_dict() == {"Training": 35, "PublicTest": 14}
    assert dataset.notes == ["49 file names do not tell the official usage; by folder, validation counts as PublicTest"]


def test_train_validation_and_test(tmp_path, files):
    bare = renamed(files, lambda part, emotion, last: f"{part}/{emotion}/{last.split('_')[1]}")
    more = {f"val/{emotion}/{n}.png": png(picture(900 + n)) for n, emotion in enumerate(EMOTIONS)}
    dataset = load_dataset(write_folder(tmp_path / "f", bare | more), progress=False)
    assert dataset.counts().sum(axis=1).to_dict() == {"Training": 35, "PublicTest": 7, "PrivateTest": 14}
    assert dataset.notes[0].endswith("by folder, test counts as PrivateTest, validation counts as PublicTest")


def test_official_names_as_folders(tmp_path, files):
    folder = write_folder(
        tmp_path / "f",
        renamed(files, lambda part, emotion, last: f"{last.split('_')[0]}/{emotion}/{last.split('_')[1]}"),
    )
    dataset = load_dataset(folder, progress=False)
    assert dataset.counts().sum(axis=1).to_dict() == {"Training": 35, "PublicTest": 7, "PrivateTest": 7}
    assert dataset.notes == []
