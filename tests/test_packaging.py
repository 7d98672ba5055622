"""One list of dependencies, three files that must agree."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def everything() -> list[str]:
    extras = (item for extra in PROJECT["optional-dependencies"].values() for item in extra)
    # An extra may stand for others.
    return sorted({item for item in [*PROJECT["dependencies"], *extras] if not item.startswith("fer-utils")})


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_conda_environment_has_the_same_names_and_bounds():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    names = [item for item in pip if not item.startswith("-e ")]
    assert sorted(names) == sorted(everything())
    assert "-e ." in pip
    python = next(item for item in environment["dependencies"] if isinstance(item, str) and item.startswith("python"))
    assert python.removeprefix("python") == PROJECT["requires-python"]


def test_constraints_hold_a_version_within_every_bound():
    tested = {name.lower().replace("_", "-"): version for name, version in constraints().items()}
    for item in everything():
        requirement = Requirement(item)
        assert requirement.specifier.contains(tested[requirement.name]), item


def test_every_dependency_has_a_lower_bound():
    for item in everything():
        assert ">=" in item, item


def test_opencv_stays_below_5():
    (opencv,) = [Requirement(item) for item in everything() if item.startswith("opencv")]
    assert not opencv.specifier.contains("5.0.0") and opencv.specifier.contains("4.11.0")


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "environment.yml", "Makefile"])
def test_no_index_url_and_no_private_path(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"index-url|https?://(?!github|www\.kaggle)|/home/", text)
    assert str(Path.home()) not in text
