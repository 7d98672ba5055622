"""The command `fer sweep`."""

from pathlib import Path
from typing import Annotated

import typer


def sweep(
    grid: Annotated[Path, typer.Argument(help="A YAML file: profile, only, parameters, grid.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to.  [default: runs/sweeps/GRID]")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at the same time, each in a process of its own.")] = 1,
    part: Annotated[str, typer.Option(help="K/N: only the K-th of N parts, for array jobs on a scheduler.")] = "1/1",
) -> None:
    """Run the notebooks with every combination of a grid's values and collect the results in one table.

    The same command again skips what is finished and goes on with the rest. A run that fails is reported, and the
    others go on; the exit code is 1 then.
    """
    from fer_utils.runner.sweep import RESULTS_FILE, collect, default_folder, parse_part, read_grid, run_sweep

    wanted = parse_part(part)
    plan = read_grid(grid)
    out = out or default_folder(plan)
    errors = run_sweep(plan, out, jobs, wanted)
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
