"""Fetching from Kaggle, with a stand-in for kagglehub."""

import sys
import threading
import time
import types

import pytest
from helpers import write_folder

from fer_utils.common.errors import UserError
from fer_utils.dataset import download, load_dataset
from fer_utils.dataset.published import PUBLISHED_COUNTS, differences


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Replace kagglehub; `hub.answer` is the path it returns or the exception it raises."""
    module = types.ModuleType("kagglehub")

    def dataset_download(handle, force_download=False):
        module.forced.append(force_download)
        assert handle == "msambare/fer2013"
        if isinstance(module.answer, Exception):
            raise module.answer
        return str(module.answer)

    module.forced = []
    module.config = types.SimpleNamespace(get_cache_folder=lambda: str(tmp_path / "hub_cache"))
    module.dataset_download = dataset_download
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    return module


@pytest.fixture
def small_is_published(monkeypatch):
    """Let the small copy of `files` count as FER-2013."""
    counts = {"Training": (5,) * 7, "PublicTest": (1,) * 7, "PrivateTest": (1,) * 7}
    monkeypatch.setattr(sys.modules["fer_utils.dataset.published"], "PUBLISHED_COUNTS", counts)


def test_a_bad_copy_in_the_hubs_cache_is_fetched_anew_once(tmp_path, files, hub, small_is_published, monkeypatch):
    good, bad = write_folder(tmp_path / "good", files), tmp_path / "bad"
    bad.mkdir()
    monkeypatch.setattr(hub, "dataset_download", lambda handle, force_download=False: good if force_download else bad)
    assert len(download(tmp_path / "data", progress=False)) == 49


@pytest.mark.parametrize("target", ["file", "file/inside"])
def test_a_target_that_cannot_be_written_is_found_before_the_download(tmp_path, hub, target):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written .*--to"):
        download(tmp_path / target, progress=False)
    assert hub.forced == []


def test_a_full_disk_is_one_line_and_leaves_no_litter(tmp_path, files, hub, small_is_published, monkeypatch):
    hub.answer = write_folder(tmp_path / "hub", files)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copytree", full)
    with pytest.raises(UserError, match="No space left"):
        download(tmp_path / "data", progress=False)
    assert not (tmp_path / "data").exists()


def test_good_download_lands_in_the_target(tmp_path, files, hub, small_is_published):
    hub.answer = write_folder(tmp_path / "hub", files)
    dataset = download(tmp_path / "data", progress=False)
    assert len(dataset) == 49
    assert len(load_dataset(tmp_path / "data" / "fer2013", progress=False)) == 49


def test_wrong_counts_are_refused_and_not_kept(tmp_path, files, hub, small_is_published):
    files.pop(next(name for name in files if "train/fear" in name))
    hub.answer = write_folder(tmp_path / "hub", files)
    with pytest.raises(UserError, match="Training has 4 fear images instead of 5") as caught:
        download(tmp_path / "data", progress=False)
    assert "To fetch it by hand" in str(caught.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("error", [ConnectionError("no route"), KeyError("KAGGLE_KEY"), RuntimeError("")])
def test_failure_prints_the_manual_steps(tmp_path, hub, error):
    hub.answer = error
    with pytest.raises(UserError) as caught:
        download(tmp_path, progress=False)
    message = str(caught.value)
    assert message.startswith("the download from Kaggle failed (")
    assert "archive.zip" in message and "fer data info" in message


def test_an_existing_copy_is_not_overwritten(tmp_path, hub):
    (tmp_path / "fer2013").mkdir()
    with pytest.raises(UserError, match="already there"):
        download(tmp_path)


def test_published_counts_add_up():
    assert sum(map(sum, PUBLISHED_COUNTS.values())) == 35887


def test_differences_of_the_sample_are_found():
    assert differences(load_dataset("sample", progress=False))


def test_a_download_that_never_answers_ends_with_the_manual_steps(tmp_path, hub, monkeypatch):
    answer = threading.Event()
    monkeypatch.setattr(hub, "dataset_download", lambda *_, **__: answer.wait(60))
    monkeypatch.setattr(sys.modules["fer_utils.dataset.download"], "SECONDS_OF_SILENCE", 0.2)
    with pytest.raises(UserError, match="nothing came for 0.2 seconds") as caught:
        download(tmp_path / "data", progress=False)
    answer.set()
    assert caught.value.exit_code == 1 and "To fetch it by hand" in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_a_download_that_grows_is_waited_for(tmp_path, files, hub, small_is_published, monkeypatch):
    good, cache = write_folder(tmp_path / "good", files), tmp_path / "hub_cache" / "datasets" / "msambare" / "fer2013"

    def slowly(*_, **__):
        cache.mkdir(parents=True)
        for n in range(10):
            (cache / str(n)).write_bytes(b"x")
            time.sleep(0.2)
        return str(good)

    monkeypatch.setattr(hub, "dataset_download", slowly)
    monkeypatch.setattr(sys.modules["fer_utils.dataset.download"], "SECONDS_OF_SILENCE", 1.5)
    assert len(download(tmp_path / "data", progress=False)) == 49
