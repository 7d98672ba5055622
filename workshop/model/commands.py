"""The commands `compact` and `ensemble` of `python -m workshop.model`.

Keras is imported inside: `--help` must not wait.
"""

from pathlib import Path
from typing import Annotated

import typer

from fer_utils.common.errors import UserError

# What --repeat takes from the earlier run.
SET_BY_REPEAT = (
    "epochs",
    "steps",
    "decay_from",
    "seed",
    "batch_size",
    "learning_rate",
    "validation",
    "width",
    "limit",
    "trust",
)

app = typer.Typer(no_args_is_help=True, help="Train the model that ships with the package.")


@app.command()
def compact(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option(help="Zip, folder, CSV or .tar.gz.  [default: $FER_DATA, data/, the sample]")
    ] = None,
    run_dir: Annotated[Path, typer.Option(help="Folder of the run; if it holds one, that run goes on.")] = Path(
        "runs/compact"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 60,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps, instead of --epochs: to repeat a run that was shortened.")
    ] = None,
    decay_from: Annotated[
        int | None, typer.Option(min=0, help="Step from which the learning rate falls; by default the last 40 %.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    batch_size: Annotated[int, typer.Option(min=2, help="Faces in a training step.")] = 128,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=1e-6, help="AdamW's highest learning rate.  [default: 0.002; with --start 0.0015]"),
    ] = None,
    validation: Annotated[
        float, typer.Option(min=0.01, max=0.5, help="Part of Training that is held out for choices and temperature.")
    ] = 0.05,
    limit: Annotated[int, typer.Option(min=0, help="Use only so many training images; 0 uses all.")] = 0,
    dtype: Annotated[
        str, typer.Option(help="auto, float32 or mixed_bfloat16; auto takes bfloat16 where the processor has it.")
    ] = "auto",
    start: Annotated[
        str | None,
        typer.Option(
            help="Begin with a finished model: 'shipped', or a run's folder. Without --teacher, learn its answers too."
        ),
    ] = None,
    width: Annotated[
        float,
        typer.Option(min=0.1, help="Factor on the network's channels; 2.5 makes a good teacher, and needs a GPU."),
    ] = 1.0,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of a finished run, or 'shipped', whose answers to every changed picture are learned too; "
            "may be repeated."
        ),
    ] = None,
    trust: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of such answers in what is learned.  [default: 0.75; without --teacher 0.6]"
        ),
    ] = None,
    repeat: Annotated[
        Path | None,
        typer.Option(
            help="Record or folder of a finished run: train with its settings and its calibration on all of Training, "
            "nothing held out."
        ),
    ] = None,
    on_device: Annotated[
        bool | None,
        typer.Option(help="Whole epochs as one program on a GPU, with Keras on JAX.  [default: if that is so]"),
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(min=1, help="On a GPU: epochs until the same changed pictures come again.  [default: never]"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that prepare pictures; by default 4 with more than 8 processors, else 0."),
    ] = None,
    save_every: Annotated[
        int | None,
        typer.Option(min=1, help="Steps between two checkpoints; by default an epoch, at most 100, or ten on a GPU."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for compact.npz and compact.onnx.  [default: the run's folder]")
    ] = None,
) -> None:
    """Train the compact model on FER-2013's Training part, calibrate it, score it and write it for use.

    Stop it whenever you like: it is saved every 100 steps, and the same command goes on where it stopped. Sixty epochs
    take about an hour and a half on two cores with bfloat16 instructions, and two minutes on a large GPU
    (KERAS_BACKEND=jax). The number of steps may also be changed while it runs, in RUN_DIR/plan.json. To learn from a
    larger network's answers, train that one with --width first and name its folder with --teacher.
    """
    from fer_utils.dataset import load_dataset, subsample
    from workshop.model.repeat import EarlierRun

    if dtype not in ("auto", "float32", "mixed_bfloat16"):
        raise typer.BadParameter(f"{dtype} is not auto, float32 or mixed_bfloat16", param_hint="--dtype")
    if repeat:
        refuse_beside_repeat(context)
    repeated = EarlierRun(repeat) if repeat else None
    dataset = load_dataset(data)
    if repeated:
        repeated.check_data(dataset.counts())
    images, labels = dataset.subset("Training")
    kept = subsample(labels, limit, seed)
    images, labels = images[kept], labels[kept]

    from fer_utils.models.keras_start import load_keras

    load_keras()
    from fer_utils.training.precision import choose_precision
    from workshop.batches_ahead import workers_by_default
    from workshop.model.finish import finish
    from workshop.model.on_device import OnDevice, is_accelerated, require_jax
    from workshop.model.start import Start
    from workshop.model.train import Plan, Run

    if trust is not None and not (start or teacher):
        raise typer.BadParameter("there are answers to trust only with --teacher or --start", param_hint="--trust")
    if start and width != 1:
        raise typer.BadParameter("the finished model has its own width", param_hint="--width")
    on_device = is_accelerated() if on_device is None else on_device
    if on_device:
        require_jax()
    if views and not on_device:
        raise typer.BadParameter("pictures come again only with --on-device", param_hint="--views")
    finished = Start(start) if start else None
    teachers = [teacher_in(each) for each in teacher or ()]
    if repeated:
        repeated.check_models(finished, teachers)
        # The rate rises over as many steps as in the earlier run, though an epoch has more of them now.
        batch_size, validation = repeated.settings["batch_size"], repeated.held_out
    # The same pictures stay held out, or they would be validated on by a network that knows them.
    for earlier in (finished.division if finished else {}, *(teacher.settings for teacher in teachers)):
        validation = earlier.get("validation_split", validation)
    if not validation:
        raise UserError("--start or --teacher has seen all of Training: name a model that held pictures out")
    batch_size = min(batch_size, len(images) // 2)
    per_epoch = max(1, int(len(images) * (1 - validation)) // batch_size)
    given = {"learning_rate": learning_rate, "trust": trust}
    settings = repeated.settings if repeated else settings_beside(width, finished, teachers, given)
    options = {
        "steps": steps or epochs * per_epoch,
        "decay_from": decay_from,
        "seed": seed,
        "batch_size": batch_size,
        "validation_split": validation,
    }
    plan = Plan(
        warmup=min(2 * per_epoch, 400),
        dtype=choose_precision(dtype),
        on_device=on_device,
        views=views,
        **options | settings,
    )
    if decay_from is not None and decay_from >= plan.steps:
        raise UserError(f"--decay-from {decay_from} is not before the last step, {plan.steps}")
    try:
        run = Run(run_dir, images, labels, plan, finished, teachers)
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{error}; give another --run-dir, or the settings it was started with") from error
    if repeated:
        typer.echo(repeated.announcement(len(run.labels)))
    if run.step:
        typer.echo(f"Going on after step {run.step:,} of {plan.steps:,}.")
    workers = workers_by_default() if workers is None else workers
    # An epoch there is a matter of a second or less, and a checkpoint takes as long.
    often = 10 * per_epoch if on_device else min(per_epoch, 100)
    run.train(
        save_every=save_every or often,
        log_every=5 * per_epoch if on_device else per_epoch,
        workers=0 if on_device else workers,
        device=OnDevice(run) if on_device else None,
    )
    for line in finish(run, dataset, out or run_dir, repeated):
        typer.echo(line)


def settings_beside(width: float, start, teachers: list, given: dict) -> dict:
    """Return what differs from a plan's defaults for a wider network, a second training or a taught one.

    Args:
        width: factor on the network's channels.
        start: the `start.Start` that the run begins with, or None.
        teachers: what teaches it (`teacher_in`).
        given: settings by name that the user gave, or None where not; they have the last word.

    Raises:
        UserError: if the models held out different pictures.
    """
    from fer_utils.models.compact_cnn import scaled_widths
    from workshop.model.train import SECOND_TRAINING, TAUGHT, WIDE, Plan, settings_of

    settings = {}
    if width != 1:
        stem, *widths = scaled_widths((Plan.stem, *Plan.widths), width)
        settings = {**(WIDE if width > 1 else {}), "stem": stem, "widths": tuple(widths)}
    if start:
        settings |= start.settings if teachers else SECOND_TRAINING | start.settings
    settings |= TAUGHT | settings_of(teachers, start) if teachers else {}
    return settings | {name: value for name, value in given.items() if value is not None}


def refuse_beside_repeat(context: typer.Context) -> None:
    """Raise typer.BadParameter if an option was given whose value --repeat takes from the earlier run."""
    sources = {name: context.get_parameter_source(name) for name in SET_BY_REPEAT}
    # One that was given is refused even if it repeats the default: the earlier run may have had another value.
    given = [name for name, source in sources.items() if source is not None and source.name != "DEFAULT"]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise typer.BadParameter(f"leave out {names}: the run that is repeated says it", param_hint="--repeat")


def teacher_in(where: Path):
    """Return what teaches from a run's folder, or from one that holds the finished model alone, or from "shipped"."""
    from fer_utils.common.stored_weights import SHIPPED, WEIGHTS_FILE
    from workshop.model.start import FinishedTeacher
    from workshop.model.train import Teacher

    # An ensemble leaves only the finished model, for it was never trained as one.
    is_alone = (where / WEIGHTS_FILE).is_file() and not (where / Teacher.FILE).is_file()
    return FinishedTeacher(where) if str(where) == SHIPPED or is_alone else Teacher(where)


@app.command()
def ensemble(
    member: Annotated[
        list[Path],
        typer.Option(
            help="Folder of a finished run of 'python -m workshop.model compact', or 'shipped'; twice or more."
        ),
    ],
    data: Annotated[
        Path | None, typer.Option(help="What the members were trained on.  [default: $FER_DATA, data/, the sample]")
    ] = None,
    run_dir: Annotated[Path, typer.Option(help="Folder for the record.")] = Path("runs/ensemble"),
    out: Annotated[
        Path | None, typer.Option(help="Folder for compact.npz and compact.onnx.  [default: the run's folder]")
    ] = None,
) -> None:
    """Join finished compact models to one that answers with the mean of their logits, calibrate, score and write it.

    Nothing is trained. Whether the ensemble is better than its members, the validation part says.
    """
    from fer_utils.dataset import load_dataset
    from fer_utils.models.keras_start import load_keras

    dataset = load_dataset(data)
    load_keras()
    from workshop.model.ensemble import Member, ensemble_of
    from workshop.model.finish import publish

    for line in publish(ensemble_of([Member(each) for each in member], dataset, run_dir), dataset, out or run_dir):
        typer.echo(line)
