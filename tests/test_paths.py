"""Folders that the environment names."""

from fer_utils.paths import cache_folder


def test_the_cache_may_be_named_from_home_or_from_here(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for given in ("~/kept", "kept"):
        monkeypatch.setenv("FER_CACHE", given)
        assert cache_folder() == tmp_path / "kept"
