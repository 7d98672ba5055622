"""The search order: explicit, $FER_DATA, data/, the embedded sample."""

import sys

import pytest
from helpers import write_folder, write_zip

import fer_utils.dataset.find  # noqa: F401
from fer_utils.common.errors import UserError
from fer_utils.common.paths import sample_archive
from fer_utils.dataset import find_source, load_dataset


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    folder = tmp_path / "project" / "data"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys.modules["fer_utils.dataset.find"], "data_folders", lambda: [folder])
    return folder


def test_explicit_path_wins(tmp_path, files, data_folder, monkeypatch):
    explicit = write_zip(tmp_path / "mine.zip", files)
    monkeypatch.setenv("FER_DATA", str(write_zip(tmp_path / "env.zip", files)))
    write_zip(data_folder / "archive.zip", files)
    assert find_source(explicit) == (explicit, False)


def test_environment_comes_before_the_data_folder(tmp_path, files, data_folder, monkeypatch):
    path = write_zip(tmp_path / "env.zip", files)
    monkeypatch.setenv("FER_DATA", str(path))
    write_zip(data_folder / "archive.zip", files)
    assert find_source() == (path, False)


def test_wrong_environment_is_an_error_not_a_fallback(data_folder, monkeypatch):
    monkeypatch.setenv("FER_DATA", "/nowhere/archive.zip")
    with pytest.raises(UserError, match=r"\$FER_DATA does not exist"):
        find_source()


@pytest.mark.parametrize("name", ["archive.zip", "fer2013.csv", "icml_face_data.csv", "fer2013.tar.gz"])
def test_usual_names_in_the_data_folder(data_folder, name):
    (data_folder / name).write_bytes(b"x")
    assert find_source() == (data_folder / name, False)


@pytest.mark.parametrize("inside", ["fer2013", "."])
def test_unpacked_in_the_data_folder(data_folder, files, inside):
    write_folder(data_folder / inside, files)
    assert find_source() == (data_folder / inside, False)


def test_sample_is_the_last_resort_and_said(data_folder, capsys):
    dataset = load_dataset()
    assert dataset.is_sample
    out = capsys.readouterr().out
    assert "Embedded sample" in out and "not FER-2013 figures" in out


def test_sample_by_name_whatever_else_there_is(tmp_path, files, monkeypatch):
    monkeypatch.setenv("FER_DATA", str(write_zip(tmp_path / "env.zip", files)))
    assert find_source("sample") == (sample_archive(), True)


def test_path_of_the_sample_is_known_as_the_sample():
    assert find_source(sample_archive()) == (sample_archive(), True)
