"""`fer results`: damaged records cost a line each, whatever the damage is."""

import copy
import json
import random
import shutil
import sys

import pytest
from typer.testing import CliRunner

from fer_utils import records
from fer_utils.cli.main import app
from fer_utils.common.errors import UserError

# The package hands on the function of this name.
keep_module = sys.modules["fer_utils.records.keep"]

WORTHLESS = (None, True, -1, 0, 1e400, "x", "", [], {}, [None], {"x": None}, "a/b", 10**30)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with two of the recorded runs, one of them the model that ships, and the documents made from them."""
    source = records.results_folder()
    for name in ("schema.json", "compact_seed0.json", "vgg16_random_48px_seed0.json", "README.md"):
        (tmp_path / "results").mkdir(exist_ok=True)
        shutil.copy(source / name, tmp_path / "results" / name)
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "docs/model_card.md"):
        shutil.copy(source.parent / name, tmp_path / name)
    monkeypatch.setattr(keep_module, "project_root", lambda: tmp_path)
    monkeypatch.setattr(keep_module, "_processor", lambda: "a test")
    return tmp_path


def mutated(record, chance):
    """Return a record of which one place, wherever it lies, holds something else or nothing."""
    record = copy.deepcopy(record)
    place, key = record, chance.choice(list(record))
    while isinstance(place[key], dict | list) and place[key] and chance.random() < 0.8:
        place = place[key]
        key = chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
    if chance.random() < 0.3:
        del place[key]
    else:
        place[key] = chance.choice(WORTHLESS)
    return record


def shown(*arguments):
    """Run `fer results`; a traceback would be another exception than a UserError or an exit."""
    found = CliRunner().invoke(app, ["results", *map(str, arguments)])
    assert found.exception is None or isinstance(found.exception, SystemExit | UserError), found.exception
    return found


def test_whatever_one_record_has_lost_the_others_are_shown(project):
    chance, good = random.Random(0), json.loads((project / "results" / "compact_seed0.json").read_text())
    refused = 0
    for _ in range(100):
        (project / "results" / "compact_seed9.json").write_text(json.dumps(mutated(good, chance)))
        found = shown("show")
        assert "VGG16, random weights" in found.stdout and "Compact CNN" in found.stdout
        lines = found.stderr.splitlines()
        assert found.exit_code == (2 if lines else 0) and len(lines) <= 1
        assert all("compact_seed9.json is not the record of a run (" in line for line in lines)
        refused += len(lines)
    assert refused > 50


def test_whatever_a_run_has_lost_it_is_kept_or_refused_in_one_line(project):
    chance, good = random.Random(1), json.loads((project / "results" / "compact_seed0.json").read_text())
    run = project / "run"
    run.mkdir()
    for _ in range(100):
        (run / "metrics.json").write_text(json.dumps(mutated(good, chance)))
        found = shown("keep", run, "--model", "compact", "--command", "python x", "--replace")
        if isinstance(found.exception, UserError):
            assert "\n" not in str(found.exception)
        assert not list(project.rglob("*.part"))
        for path in (project / "results").glob("compact_*.json"):
            records.check(json.loads(path.read_text()))


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"7", b"null", b"[1]"])
def test_a_file_that_is_no_record_is_named_once(project, content):
    (project / "results" / "compact_seed9.json").write_bytes(content)
    (line,) = shown("show").stderr.splitlines()
    assert line.startswith("fer: ") and "compact_seed9.json" in line
    found = shown("keep", project / "results" / "compact_seed9.json", "--model", "compact", "--command", "python x")
    assert isinstance(found.exception, UserError) and "compact_seed9.json" in str(found.exception)


def test_a_wheel_says_that_the_records_need_a_checkout(monkeypatch):
    monkeypatch.setattr(keep_module, "project_root", lambda: None)
    with pytest.raises(UserError, match="^the recorded runs are not installed with the package: clone the project$"):
        CliRunner().invoke(app, ["results", "show"], catch_exceptions=False)
