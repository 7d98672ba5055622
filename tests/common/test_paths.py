"""Folders that the environment names."""

import pytest

from fer_utils.common.paths import cache_folder
from fer_utils.widgets.flagging import flagged_folder


@pytest.mark.parametrize(("name", "folder"), [("FER_CACHE", cache_folder), ("FER_FLAGGED", flagged_folder)])
def test_folders_may_be_named_from_home_or_from_here(monkeypatch, tmp_path, name, folder):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for given in ("~/kept", "kept"):
        monkeypatch.setenv(name, given)
        assert folder() == tmp_path / "kept"
