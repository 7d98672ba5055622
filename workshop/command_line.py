"""What the workshop's commands have in common: an error meant for the reader is one line, and the exit code says so."""

import sys

import typer

from fer_utils.common.errors import UserError


def run(app: typer.Typer, name: str) -> None:
    """Run a command line: 0 on success, 2 on bad usage or input, 1 on failure."""
    try:
        app(prog_name=f"python -m {name}")
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
