"""Printing never fails, whatever the terminal can show and whatever a file is called."""

import io
import json
import os
import subprocess
import sys

import pytest
from helpers import write_zip

from fer_utils.cli import main

ENCODINGS = ("cp1252", "cp437", "latin-1")

# Letters of every kind, a symbol beyond 16 bits, and a byte that is no UTF-8.
STRANGE = "Ünïcode → 日本 \N{GRINNING FACE} " + os.fsdecode(b"\xff")


@pytest.fixture
def fer_in(monkeypatch):
    """A function that runs the command in an encoding and returns (exit code, stdout, stderr) as bytes."""

    def run(encoding, *arguments):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        monkeypatch.setattr(sys, "argv", ["fer", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        code = 0
        try:
            main.main()
        except SystemExit as end:
            code = end.code or 0
        for stream in streams:
            stream.flush()
        return code, *(stream.buffer.getvalue() for stream in streams)

    return run


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_prints_in_any_encoding(fer_in, tmp_path, files, monkeypatch, encoding):
    monkeypatch.setattr("fer_utils.runner.series.run_notebooks", lambda *_, **__: STRANGE)
    data = write_zip(tmp_path / "a.zip", {**files, "train/sad/日本 \N{GRINNING FACE}.txt": b"x"})
    for code, arguments in (
        (0, ("results", "show")),
        (0, ("data", "info", data)),
        (0, ("run",)),
        (2, ("data", "info", tmp_path / STRANGE)),
        (2, ("predict", tmp_path / STRANGE)),
        (2, ("run", "--profile", STRANGE)),
        (2, ("sweep", tmp_path / STRANGE)),
        (2, ("results", "keep", tmp_path / STRANGE, "--model", "vgg16", "--command", "fer")),
        (2, (STRANGE,)),
        (0, ("--help",)),
    ):
        found, out, err = fer_in(encoding, *arguments)
        assert found == code, (arguments, err)
        (out + err).decode(encoding)
        assert b"Traceback" not in err and out + err


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_is_json_in_any_encoding(fer_in, tmp_path, files, encoding):
    data = write_zip(tmp_path / "Ü.zip", {**files, "train/sad/é 日本 \N{GRINNING FACE}.txt": b"x"})
    code, out, _ = fer_in(encoding, "data", "info", data, "--json")
    content = json.loads(out.decode())
    assert code == 0 and content["source"] == str(data)
    assert content["skipped"][0]["name"] == "train/sad/é 日本 \N{GRINNING FACE}.txt"
    code, out, _ = fer_in(encoding, "predict", tmp_path / STRANGE, "--json")
    # One object a line.
    assert code == 2 and json.loads(out.decode().splitlines()[0])["image"] == str(tmp_path / STRANGE)


def test_a_process_of_its_own_prints_too():
    environment = {**os.environ, "PYTHONIOENCODING": "cp437"}
    command = [sys.executable, "-m", "fer_utils", "results", "show"]
    found = subprocess.run(command, capture_output=True, env=environment)
    assert found.returncode == 0 and found.stderr == b"" and b"Custom CNN" in found.stdout
