"""A clone is the same on every system, whatever git is told about the ends of lines."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_a_clone_with_windows_line_ends_has_the_same_bytes(tmp_path):
    """`core.autocrlf=true` is the default of Git for Windows."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    clone = tmp_path / "clone"
    made = subprocess.run(
        ["git", "-c", "core.autocrlf=true", "clone", "--quiet", "--depth=1", ROOT.as_uri(), str(clone)],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"git cannot clone here: {made.stderr.strip()}")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=clone, capture_output=True, check=True).stdout
    names = [name for name in listed.decode().split("\0") if name.endswith((".py", ".md", ".ipynb", ".json", ".csv"))]
    assert len(names) > 100
    changed = [name for name in names if b"\r\n" in (clone / name).read_bytes()]
    assert changed == []
