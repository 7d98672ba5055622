"""From what the user asks for to a run of the compact model that can learn: its plan, its start and its teachers."""

from pathlib import Path

import typer

from fer_utils.common.errors import UserError
from fer_utils.common.stored_weights import SHIPPED, WEIGHTS_FILE
from fer_utils.models.compact_cnn import scaled_widths
from fer_utils.training.precision import choose_precision
from workshop.model.on_device import is_accelerated, require_jax
from workshop.model.start import FinishedTeacher, Start
from workshop.model.train import SECOND_TRAINING, TAUGHT, WIDE, Plan, Run, Teacher, settings_of


def where_to_learn(on_device: bool | None, views: int | None) -> bool:
    """Return whether whole epochs are one program on the accelerator; None asks whether there is one.

    Raises:
        UserError: if that is asked for and Keras does not run on JAX.
        typer.BadParameter: if pictures shall come again elsewhere.
    """
    on_device = is_accelerated() if on_device is None else on_device
    if on_device:
        require_jax()
    elif views:
        raise typer.BadParameter("pictures come again only with --on-device", param_hint="--views")
    return on_device


def planned(n: int, start: str | None, teachers, width: float, own: dict, sizes: dict, rest: dict):
    """Return the plan of a run, the `Start` that it begins with or None, and the list of what teaches it.

    Args:
        n: how many images Training has.
        start: "shipped", the folder of a finished run, or None.
        teachers: folders of finished runs, or "shipped".
        width: factor on the network's channels.
        own: settings by name that the user gave, or None where not; they have the last word.
        sizes: "steps" (or None), "epochs", "batch_size" and "validation_split" as asked for.
        rest: further settings of the plan.

    Raises:
        UserError: if a model cannot be used, or the learning rate would not fall.
    """
    finished = Start(start) if start else None
    teachers = [teacher_in(Path(each)) for each in teachers]
    validation = sizes["validation_split"]
    # The same pictures stay held out, or they would be validated on by a network that knows them.
    for earlier in (finished.division if finished else {}, *(teacher.settings for teacher in teachers)):
        validation = earlier.get("validation_split", validation)
    if not validation:
        raise UserError("--start or --teacher has seen all of Training: name a model that held pictures out")
    batch_size = min(sizes["batch_size"], n // 2)
    per_epoch = max(1, int(n * (1 - validation)) // batch_size)
    settings = rest | {
        "steps": sizes["steps"] or sizes["epochs"] * per_epoch,
        "batch_size": batch_size,
        "validation_split": validation,
        "warmup": min(2 * per_epoch, 400),
        "dtype": choose_precision(rest["dtype"]),
    }
    plan = Plan(**settings | settings_beside(width, finished, teachers, own))
    if plan.decay_from is not None and plan.decay_from >= plan.steps:
        raise UserError(f"--decay-from {plan.decay_from} is not before the last step, {plan.steps}")
    return plan, finished, teachers


def begun(folder: Path, images, labels, plan: Plan, finished: Start | None, teachers: list) -> Run:
    """Return a new run, or the one that the folder holds.

    Raises:
        UserError: if the folder holds a run with other settings.
    """
    try:
        return Run(folder, images, labels, plan, finished, teachers)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{error}; give another --run-dir, or the settings it was started with") from error


def settings_beside(width: float, start: Start | None, teachers: list, own: dict) -> dict:
    """Return what differs from a plan's defaults for a wider network, a second training or a taught one.

    Args:
        width: factor on the network's channels.
        start: what the run begins with, or None.
        teachers: what teaches it (`teacher_in`).
        own: settings by name that the user gave, or None where not; they have the last word.

    Raises:
        UserError: if the models held out different pictures.
    """
    settings = {}
    if width != 1:
        stem, *widths = scaled_widths((Plan.stem, *Plan.widths), width)
        settings = {**(WIDE if width > 1 else {}), "stem": stem, "widths": tuple(widths)}
    if start:
        settings |= start.settings if teachers else SECOND_TRAINING | start.settings
    settings |= TAUGHT | settings_of(teachers, start) if teachers else {}
    return settings | {name: value for name, value in own.items() if value is not None}


def teacher_in(where: Path):
    """Return what teaches from a run's folder, or from one that holds the finished model alone, or from "shipped"."""
    # An ensemble leaves only the finished model, for it was never trained as one.
    is_alone = (where / WEIGHTS_FILE).is_file() and not (where / Teacher.FILE).is_file()
    return FinishedTeacher(where) if str(where) == SHIPPED or is_alone else Teacher(where)
