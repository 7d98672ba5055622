"""The command `python -m workshop.backbones`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from workshop.command_line import run

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.callback()
def backbones():
    """Make the backbones that ship: train them on FER-2013, then pack them."""


@app.command()
def train(
    architecture: Annotated[str, typer.Argument(help="VGG16 or ResNet50V2.")],
    data: Annotated[str, typer.Option(help="FER-2013, in any of its forms.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the same command goes on there.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over what is learned from.")] = 12,
    window: Annotated[int, typer.Option(help="Pixels of a face that are shown until the steps shrink.")] = 40,
    learning_rate: Annotated[float, typer.Option(help="The highest one.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Weights, order, changes and the division.")] = 0,
):
    """Train a backbone on Training, less a twentieth part; go on where the same command stopped."""
    from fer_utils.dataset import load_dataset
    from fer_utils.models.keras_start import load_keras

    load_keras()
    from workshop.backbones.train import Plan, Run

    images, labels = load_dataset(data).subset("Training")
    plan = Plan(architecture=architecture, seed=seed, learning_rate=learning_rate, window=window)
    per_epoch = int(len(images) * (1 - plan.validation_split)) // plan.batch_size
    plan.steps, plan.warmup = epochs * per_epoch, per_epoch
    run = Run(out, images, labels, plan)
    print(f"{len(run.labels):,} pictures to learn from, {len(run.validation[1]):,} held out, {plan.steps:,} steps")
    run.train(save_every=per_epoch)
    print(f"done; next: python -m workshop.backbones finish {out} --data {data}")


@app.command()
def finish(
    run: Annotated[Path, typer.Argument(help="Folder of a run, finished or not.")],
    data: Annotated[str, typer.Option(help="The FER-2013 that it was trained on.")],
    out: Annotated[Path | None, typer.Option(help="Where the weights go; by default into the package.")] = None,
):
    """Score a run once, write its record for `fer results keep`, and the weights that ship."""
    from fer_utils.dataset import load_dataset
    from fer_utils.models.keras_start import load_keras

    load_keras()
    from workshop.backbones.finish import finish
    from workshop.backbones.train import Plan, Run

    dataset = load_dataset(data)
    plan = Plan(**json.loads((run / "plan.json").read_text(encoding="utf-8")))
    print("\n".join(finish(Run(run, *dataset.subset("Training"), plan), dataset, out)))


@app.command()
def card():
    """Write the figures of docs/backbones.md anew, from the records and the files that ship."""
    from workshop.backbones.card import write_card

    print("docs/backbones.md", "changed" if write_card() else "is as it was")


run(app, "workshop.backbones")
