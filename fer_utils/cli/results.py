"""`fer results`: the recorded runs."""

from pathlib import Path
from typing import Annotated

import typer

from fer_utils.cli.options import Split

results_app = typer.Typer(help="The recorded runs on FER-2013.", no_args_is_help=True)


@results_app.command("show")
def results_show(split: Split = "PublicTest") -> None:
    """Print the recorded runs as a table.

    A damaged record costs one line on stderr and the exit code 2; the others are shown all the same.
    """
    from fer_utils.common.labels import USAGES
    from fer_utils.records.keep import sound_and_damaged
    from fer_utils.records.tables import table

    if split not in USAGES:
        raise typer.BadParameter(f"{split} is not one of {', '.join(USAGES)}", param_hint="--split")
    records, damaged = sound_and_damaged()
    typer.echo(table(records, split))
    for line in damaged:
        typer.echo(f"fer: {line}", err=True)
    if damaged:
        raise typer.Exit(2)


@results_app.command("keep")
def results_keep(
    run: Annotated[Path, typer.Argument(help="A run's folder, for example runs/full/runs/03_custom_cnn.")],
    model: Annotated[str, typer.Option(help="custom_cnn, custom_cnn_augmented, vgg16, resnet50v2 or compact.")],
    command: Annotated[str, typer.Option(help="The command that made it.")],
    hardware: Annotated[
        str, typer.Option(help="What it ran on: name the GPU here.  [default: this machine's processor]")
    ] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a record of the same name.")] = False,
) -> None:
    """Keep a run on FER-2013 in results/ and renew the tables of README.md and results/README.md and the model card."""
    from fer_utils.records import documents, keep, load_recorded

    typer.echo(f"Kept as {keep(run, model, command, hardware, replace=replace).name}.")
    records = load_recorded()
    documents.write_readme(records=records)
    documents.write_all_runs(records=records)
    documents.write_model_card(records=records)
