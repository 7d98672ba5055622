"""The search order: explicit, $FER_DATA, data/, the embedded sample."""

import shutil
import sys

import pytest
from helpers import write_csv, write_folder, write_tar, write_zip

import fer_utils.dataset.find
import fer_utils.dataset.load  # noqa: F401
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
    assert find_source(explicit) == (explicit, "zip", False, ())


def test_environment_comes_before_the_data_folder(tmp_path, files, data_folder, monkeypatch):
    path = write_zip(tmp_path / "env.zip", files)
    monkeypatch.setenv("FER_DATA", str(path))
    write_zip(data_folder / "archive.zip", files)
    assert find_source()[:3] == (path, "zip", False)


def test_wrong_environment_is_an_error_not_a_fallback(data_folder, monkeypatch):
    monkeypatch.setenv("FER_DATA", "/nowhere/archive.zip")
    with pytest.raises(UserError, match=r"\$FER_DATA does not exist"):
        find_source()


@pytest.mark.parametrize("name", ["archive.zip", "fer2013.csv", "icml_face_data.csv", "fer2013.tar.gz"])
def test_usual_names_in_the_data_folder(data_folder, name):
    (data_folder / name).write_bytes(b"x")
    assert find_source().path == data_folder / name


@pytest.mark.parametrize("inside", ["fer2013", "."])
def test_unpacked_in_the_data_folder(data_folder, files, inside):
    write_folder(data_folder / inside, files)
    assert find_source()[:3] == (data_folder / inside, "folder", False)


def test_sample_is_the_last_resort_and_said(data_folder, capsys):
    dataset = load_dataset()
    assert dataset.is_sample
    out = capsys.readouterr().out
    assert "Embedded sample" in out and "not FER-2013 figures" in out


def test_sample_by_name_whatever_else_there_is(tmp_path, files, monkeypatch):
    monkeypatch.setenv("FER_DATA", str(write_zip(tmp_path / "env.zip", files)))
    assert find_source("sample") == (sample_archive(), "zip", True, ())


def test_path_of_the_sample_is_known_as_the_sample():
    assert find_source(sample_archive()) == (sample_archive(), "zip", True, ())


def test_a_copy_under_another_name_is_found_by_content(data_folder, files, csv_rows, tmp_path):
    (data_folder / "README.md").write_text("what lies here")
    (data_folder / "holiday").mkdir()
    table = write_csv(tmp_path / "t.csv", csv_rows)
    forms = {
        "archive (1).zip": lambda path: write_zip(path, files),
        "Downloaded": lambda path: write_folder(path, files),
        "pixels.CSV": lambda path: write_csv(path, csv_rows),
        "all.tgz": lambda path: write_tar(path, table, "fer2013/fer2013.csv"),
        "competition": lambda path: write_folder(
            path, {"fer2013/fer2013.csv": table.read_bytes(), "fer2013/README": b""}
        ),
        "FER2013.ZIP": lambda path: write_zip(path, files),
        "challenge.zip": lambda path: write_zip(
            path, {"fer2013.tar.gz": write_tar(tmp_path / "t.tgz", table, "f/fer2013.csv").read_bytes()}
        ),
        "kept": lambda path: write_folder(path, {"archive.zip": write_zip(tmp_path / "a.zip", files).read_bytes()}),
    }
    for name, write in forms.items():
        write(data_folder / name)
        dataset = load_dataset(progress=False)
        assert not dataset.is_sample and len(dataset) in (49, 21), name
        assert load_dataset(data_folder, progress=False).fingerprint == dataset.fingerprint, "as a path, too"
        target = data_folder / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    assert load_dataset(progress=False).is_sample


def test_folders_in_capitals(data_folder, files):
    renamed = {
        name.replace("train/", "Train/", 1).replace("test/", "TEST/", 1): content for name, content in files.items()
    }
    write_folder(data_folder, renamed)
    assert find_source()[:3] == (data_folder, "folder", False)
    assert len(load_dataset(progress=False)) == 49


def test_what_is_not_understood_is_named(data_folder, capsys):
    (data_folder / "archive.rar").write_bytes(b"Rar!")
    (data_folder / "archive (1).zip").write_bytes(b"PK\3\4 cut short")
    write_csv(data_folder / "marks.csv", ["1,2"], "pupil,mark")
    assert load_dataset().is_sample
    said = capsys.readouterr().err
    assert "data/ holds archive.rar, which is not recognised: is not a folder" in said
    assert "data/ holds archive (1).zip, which is not recognised: is cut short" in said
    assert "data/ holds marks.csv, which is not recognised: it has no columns emotion and pixels" in said


@pytest.mark.parametrize("path", ["~nosuchuser/x.zip", "a\0b.zip", "x" * 5000])
def test_a_path_that_cannot_be(path, monkeypatch):
    with pytest.raises(UserError, match="cannot be opened|does not exist"):
        find_source(path)
    if "\0" not in path:
        monkeypatch.setenv("FER_DATA", path)
        with pytest.raises(UserError, match=r"\$FER_DATA"):
            find_source()


def test_a_cache_folder_that_cannot_be(monkeypatch):
    monkeypatch.setenv("FER_CACHE", "~nosuchuser/x")
    monkeypatch.setattr(sys.modules["fer_utils.dataset.load"], "read_source", lambda *_: pytest.fail("read first"))
    with pytest.raises(UserError, match=r"\$FER_CACHE names no folder .*: correct it"):
        load_dataset("sample", progress=False)
