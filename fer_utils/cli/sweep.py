"""The command `fer sweep`."""

from pathlib import Path
from typing import Annotated

import typer


def sweep(
    grid: Annotated[Path, typer.Argument(help="A YAML file: profile, only, parameters, grid.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to.  [default: runs/sweeps/GRID]")] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler.  [default: a cluster of this machine]")
    ] = None,
) -> None:
    """Run the notebooks with every combination of a grid's values and collect the results in one table.

    The same command again skips what is finished and goes on with the rest. A run that fails is reported, and the
    others go on; the exit code is 1 then.
    """
    from fer_utils.runner.sweep import RESULTS_FILE, collect, default_folder, read_grid, run_sweep

    plan = read_grid(grid)
    out = out or default_folder(plan)
    errors = run_sweep(plan, out, scheduler)
    table = collect(out)
    if len(table):
        columns = ["run", "model", "n", "accuracy", "low", "high"]
        typer.echo(table[table["split"] == "PublicTest"][columns].round(3).to_string(index=False))
    typer.echo(f"All results: {out / RESULTS_FILE}")
    for name, error in errors.items():
        typer.echo(f"fer: {name} failed: {error}", err=True)
        if (out / name / "index.html").is_file():
            typer.echo(f"fer: the traceback is in {out / name / 'index.html'}", err=True)
    if errors:
        raise typer.Exit(1)
