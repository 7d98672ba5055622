"""The command as a function."""

import sys

import pytest

from fer_utils.cli import main


@pytest.fixture
def fer(monkeypatch, capsys):
    """A function that runs the command and returns (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fer", *map(str, arguments)])
        code = 0
        try:
            main.main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
