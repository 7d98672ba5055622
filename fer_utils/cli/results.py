"""`fer results`: the recorded runs."""

from pathlib import Path
from typing import Annotated

import typer

from fer_utils.cli.options import Split

results_app = typer.Typer(help="The recorded runs on FER-2013.", no_args_is_help=True)


@results_app.command("show")
def results_show(split: Split = "PublicTest") -> None:
    """Print the recorded runs as a table."""
    from fer_utils.common.labels import USAGES
    from fer_utils.records.documents import table
    from fer_utils.records.keep import load_recorded

    if split not in USAGES:
        raise typer.BadParameter(f"{split} is not one of {', '.join(USAGES)}", param_hint="--split")
    typer.echo(table(load_recorded(), split))


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
    from fer_utils.records.documents import write_all_runs, write_model_card, write_readme
    from fer_utils.records.keep import keep

    typer.echo(f"Kept as {keep(run, model, command, hardware, replace=replace).name}.")
    write_readme()
    write_all_runs()
    write_model_card()
