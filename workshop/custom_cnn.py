"""The command `python -m workshop.custom_cnn`: the recorded custom CNN with augmentation, trained again.

Notebook 4 teaches augmentation with Adam and a dozen settings. The run that stands for it in `results/` took more:
Muon, smoothed labels, weight decay, a smaller part to choose by, hundreds of epochs. The defaults here are those of
`results/custom_cnn_augmented_gentle3_strength0.5_muon_smoothing0.1_seed0.json`; the options are what the other recorded
runs of this network changed.
"""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from fer_utils import models, records, training
from fer_utils.common.errors import UserError
from fer_utils.dataset import divide, load_dataset
from fer_utils.models.keras_start import load_keras
from workshop.command_line import run
from workshop.earlier_weights import begin_with

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    data: Annotated[str, typer.Option(help="FER-2013, in any of its forms: archive.zip, a folder, a CSV.")],
    out: Annotated[Path, typer.Option(help="Folder for the run; the same command goes on there after a stop.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over what is learned from.")] = 220,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures a step.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the weights, the order, the changes and the division.")] = 0,
    width: Annotated[float, typer.Option(help="Share of the filters that the network keeps.")] = 1.0,
    optimizer: Annotated[str, typer.Option(help="muon or adam.")] = "muon",
    learning_rate: Annotated[float, typer.Option(help="The largest step size.")] = 0.001,
    weight_decay: Annotated[float, typer.Option(help="Share that a weight loses, times the step size.")] = 0.25,
    label_smoothing: Annotated[float, typer.Option(help="Share of each label spread over all of them.")] = 0.1,
    l2: Annotated[float, typer.Option(help="Penalty on the weights of block 2.")] = 0.0001,
    dropout: Annotated[float, typer.Option(help="Share that is switched off after each block.")] = 0.25,
    head_dropout: Annotated[float, typer.Option(help="The same after the dense layer.")] = 0.5,
    validation_split: Annotated[float, typer.Option(help="Share of Training that chooses the epoch.")] = 0.05,
    augmented: Annotated[bool, typer.Option(help="Change the pictures, or show them as they are.")] = True,
    strength: Annotated[float, typer.Option(help="Of the augmentation, as a share of the original's.")] = 0.5,
    gentle_epochs: Annotated[int, typer.Option(min=0, help="Epochs over which the augmentation grows.")] = 3,
    erased: Annotated[float, typer.Option(help="Share of the pictures that lose a rectangle.")] = 0.0,
    start_from: Annotated[Path | None, typer.Option(help="An earlier training's model.keras to begin with.")] = None,
):
    """Train the custom CNN as its recorded run on FER-2013 was trained, score it and write its record.

    Without options it is the best recorded run: six minutes on one large GPU with KERAS_BACKEND=jax, about a day on two
    processor cores. A bar shows the progress, and an interrupted training goes on.
    """
    # Before anything of Keras is touched, for its messages are switched off here.
    load_keras()
    training.prepare(seed)
    dataset = load_dataset(data)
    parts = divide(dataset, seed, validation_split=validation_split)
    n = len(parts["training"][1])
    print(f"{n:,} pictures to learn from, {len(parts['validation'][1]):,} to choose by")
    model = models.custom_cnn(width=width, l2=l2, dropout=dropout, head_dropout=head_dropout)
    start = {"start": begin_with(start_from, model, output_dir=out)} if start_from else {}
    changes = {"strength": strength, "gentle_epochs": gentle_epochs, "erased": erased} if augmented else {}
    if augmented:
        grown = gentle_epochs * -(-n // batch_size)
        model = with_changes(model, seed, erased, strength=strength, warm_up=grown)
    rate = training.cosine_rate(learning_rate, epochs, n, batch_size)
    model.compile(optimizer_of(optimizer, rate, weight_decay), loss_of(label_smoothing), metrics=["accuracy"])
    run = training.train(
        model,
        parts["training"],
        parts["validation"],
        name=f"04_with{'' if augmented else 'out'}_augmentation",
        output_dir=out,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        settings=start,
    )
    print(f"best epoch on the validation part: {run.best_epoch} of {run.epochs}")
    settings = {
        "learning_rate": learning_rate,
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": seed,
        "width": width,
        "rate_patience": 0,  # The word of the records for steps along a cosine.
        "weight_decay": weight_decay,
        "optimizer": optimizer,
        "l2": l2,
        "label_smoothing": label_smoothing,
        "dropout": dropout,
        "head_dropout": head_dropout,
        "validation_split": validation_split,
        "training_images": n,
        **start,
        **changes,
    }
    score_and_record(run, dataset, parts, settings)
    kind = "custom_cnn_augmented" if augmented else "custom_cnn"
    command = f"python -m workshop.custom_cnn {shlex.join(sys.argv[1:])}"
    print(f'To keep it: fer results keep {run.folder} --model {kind} --command "{command}"')


def optimizer_of(name: str, learning_rate, weight_decay: float = 0.0):
    """Return "adam", Keras's own, or "muon" (`workshop.muon`), with the share that a weight loses times the step size.

    Raises:
        UserError: for another name.
    """
    import keras

    from workshop.muon import ConvolutionMuon

    known = {"adam": keras.optimizers.Adam, "muon": ConvolutionMuon}
    if name not in known:
        raise UserError(f"the optimizer is {' or '.join(map(repr, known))}, not {name!r}")
    return known[name](learning_rate, weight_decay=weight_decay or None)


def loss_of(label_smoothing: float = 0.0):
    """Return the loss for integer labels, of each of which a share is spread evenly over all expressions.

    Raises:
        UserError: if it is not a share below 1.
    """
    from workshop.smoothing import SmoothedCrossentropy

    if not 0 <= label_smoothing < 1:
        raise UserError(f"label smoothing is a share from 0 to below 1, not {label_smoothing}")
    return SmoothedCrossentropy(label_smoothing) if label_smoothing else "sparse_categorical_crossentropy"


def with_changes(model, seed: int, erased: float = 0.0, **changes):
    """Put the augmentation before a model, and hide a rectangle of a share of the pictures behind noise.

    A network that cannot rely on the mouth alone has to look at the eyes too (Zhong et al. 2017, "Random erasing data
    augmentation", arXiv:1708.04896). Height and width of the rectangle are drawn alone, each from a seventh to four
    sevenths of the picture's. `training.train` keeps the model without all of it.

    Raises:
        UserError: if `erased` is not a share.
    """
    import keras

    if not 0 <= erased <= 1:
        raise UserError(f"the share of the pictures that lose a rectangle is from 0 to 1, not {erased}")
    if not erased:
        return models.with_augmentation(model, seed, **changes)
    inputs = keras.Input(model.input_shape[1:], name="image")
    # The layer draws the probability itself between two bounds; equal ones fix it.
    hiding = keras.layers.RandomErasing((erased, erased), seed=seed, dtype="float32", name="erasing")
    return keras.Model(inputs, model(hiding(models.augmenter(seed, **changes)(inputs))), name=f"{model.name}_augmented")


def score_and_record(run, dataset, parts: dict, settings: dict) -> dict:
    """Score a run on every part, and together with the mirror images on those held out; write its metrics.json.

    Args:
        run: from `training.train`.
        dataset: what it was trained on.
        parts: from `dataset.divide`.
        settings: for the record.

    Returns:
        The record, as from `results.record`.
    """
    judged = training.judge(run.model, parts)
    held_out = {name: part for name, part in parts.items() if name != "training"}
    twice = training.judge_twice(run.model, held_out, judged)
    print(judged, "together with the mirror image:", twice, sep="\n")
    title = "Custom CNN" if settings["width"] == 1 else f"Custom CNN, width {settings['width']},"
    return records.record(
        title=f"{title} {'with' if 'strength' in settings else 'without'} augmentation",
        run=run,
        dataset=dataset,
        scores=list(judged.scores.values()),
        settings=settings,
        predictions=judged.probabilities,
        mirrored=list(twice.scores.values()),
    )


if __name__ == "__main__":
    run(app, "workshop.custom_cnn")
