"""What Binder, a container and Colab read is sound, as far as it can be seen from here."""

import importlib.util
import json
import os
import re
import site
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CELL = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "elsewhere.md").read_text(encoding="utf-8"), re.S)[1]


def extras(requirement):
    return Requirement(requirement).extras


def test_binder_installs_an_extra_that_there_is_with_the_tested_versions():
    constraints, project = (ROOT / "binder" / "requirements.txt").read_text().splitlines()[-2:]
    assert (ROOT / "binder" / constraints.removeprefix("-c ")).samefile(ROOT / "constraints.txt")
    assert extras(project.replace("-e .", "fer-utils")) <= set(PROJECT["optional-dependencies"])


def test_binder_and_the_container_have_a_python_that_is_supported():
    supported = SpecifierSet(PROJECT["requires-python"])
    runtime = (ROOT / "binder" / "runtime.txt").read_text().strip()
    assert supported.contains(runtime.removeprefix("python-"))
    assert supported.contains(container()["image"].rpartition(":")[2])


def test_the_container_is_set_up_by_a_target_of_make():
    program, target = container()["postCreateCommand"].split()
    assert program == "make" and re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


def container():
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text()
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.M))


def test_the_cell_for_colab_says_in_one_line_that_there_is_nothing_to_do(capsys, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: pytest.fail("something was fetched"))
    exec(CELL, {})
    assert capsys.readouterr().out == "fer_utils is installed: nothing to fetch.\n"


def test_the_cell_for_colab_fetches_what_is_missing(capsys, monkeypatch):
    done = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda command, check: done.append(command))
    monkeypatch.setattr(site, "main", lambda: done.append("made known"))
    monkeypatch.setattr(os, "chdir", done.append)
    exec(CELL, {})
    clone, install, known, folder = done
    assert clone[:2] == ["git", "clone"] and clone[-2] == "https://github.com/OWNER/PROJECT"
    assert install[:4] == [sys.executable, "-m", "pip", "install"] and install[-1].startswith(clone[-1])
    assert extras(install[-1]) <= set(PROJECT["optional-dependencies"])
    assert (known, folder) == ("made known", "project/notebooks")
    assert capsys.readouterr().out == ""
