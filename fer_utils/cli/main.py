"""The `fer` command. Nothing heavy is imported before a command needs it."""

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from fer_utils.cli.data import data_app
from fer_utils.cli.detector import evaluate, predict, serve_app
from fer_utils.cli.options import Only
from fer_utils.cli.results import results_app
from fer_utils.cli.sweep import sweep
from fer_utils.common.errors import UserError

# Profiles that take from half an hour to days: worth it for the real pictures only.
NEEDS_FER2013 = ("quick", "full")

app = typer.Typer(
    help="Learn facial-expression recognition on FER-2013: run the notebooks, look at data, predict, evaluate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(data_app, name="data")
app.add_typer(results_app, name="results")


@app.command()
def run(
    profile: Annotated[str, typer.Option(help="A file in notebooks/profiles: sample, quick or full.")] = "sample",
    only: Only = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to.  [default: runs/PROFILE]")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE that wins over the profile. Repeatable.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Notebooks at the same time; each takes up to 2.5 GiB.")] = 1,
) -> None:
    """Execute the six notebooks of the series and leave notebooks, HTML, metrics and one index.html.

    Stops at the first error and shows notebook, cell and traceback. Training that was interrupted goes on
    after its last finished epoch when the same command is given again.
    """
    from fer_utils.runner.series import run_notebooks
    from fer_utils.runner.values import parse_overrides

    overrides = parse_overrides(parameter or [])
    _check_data(profile, overrides.get("DATA"))
    page = run_notebooks(profile, only, out, overrides, jobs=jobs)
    typer.echo(f"Open {page}")


def _check_data(profile: str, wanted) -> None:
    """Refuse a data file that is missing, and hours of training on the sample that nobody asked for."""
    from fer_utils.dataset import find_source
    from fer_utils.dataset.find import HOW_TO_GET_IT
    from fer_utils.runner.profiles import read_profile

    if wanted is None:
        wanted = read_profile(profile).get("all", {}).get("DATA")
    if find_source(wanted).is_sample and str(wanted) != "sample" and profile in NEEDS_FER2013:
        raise UserError(
            f"the profile '{profile}' is meant for FER-2013, and none was found: {HOW_TO_GET_IT}. "
            "To run it on the embedded sample all the same, add -p DATA=sample"
        )


@app.command()
def refresh(only: Only = None) -> None:
    """Execute the notebooks and the appendix in place, for whoever changed them: outputs are renewed and tidied."""
    from fer_utils.runner.refresh import refresh_notebooks

    refresh_notebooks(only)


app.command()(sweep)
app.command()(predict)
app.command()(evaluate)
app.command("app")(serve_app)


def _print_any_character() -> None:
    """Let no character stop a command: what the terminal's encoding lacks is escaped, and JSON is UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            is_json = stream is sys.stdout and "--json" in sys.argv
            stream.reconfigure(encoding="utf-8" if is_json else None, errors="backslashreplace")


def main() -> None:
    """Run the command line: 0 on success, 2 on bad usage or input, 1 on failure."""
    _print_any_character()
    try:
        app(standalone_mode=True)
    except UserError as error:
        print(f"fer: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    # A folder that may not be read or written, a host that does not exist: another one has to be named. A full disk,
    # a drive that is gone: nothing was asked for wrongly.
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"fer: {place}{error.strerror or error}", file=sys.stderr)
        sys.exit(1 if error.errno in (errno.ENOSPC, errno.EIO) else 2)
    except Exception as error:
        from fer_utils.runner.series import NotebookFailed

        if not isinstance(error, NotebookFailed):
            raise
        print(f"fer: {error}", file=sys.stderr)
        sys.exit(1)
