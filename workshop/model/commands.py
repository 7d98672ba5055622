"""The commands `compact` and `ensemble` of `python -m workshop.model`.

Keras is imported inside: `--help` must not wait.
"""

from pathlib import Path

import typer

from workshop.model import options

app = typer.Typer(no_args_is_help=True, help="Train the model that ships with the package.")


@app.command()
def compact(
    data: options.Data = None,
    run_dir: options.RunDir = Path("runs/compact"),
    epochs: options.Epochs = 60,
    steps: options.Steps = None,
    decay_from: options.DecayFrom = None,
    seed: options.Seed = 0,
    batch_size: options.BatchSize = 128,
    learning_rate: options.LearningRate = None,
    validation: options.Validation = 0.05,
    limit: options.Limit = 0,
    dtype: options.DType = "auto",
    start: options.Begin = None,
    width: options.Width = 1.0,
    teacher: options.Teachers = None,
    trust: options.Trust = None,
    on_device: options.OnDevice = None,
    views: options.Views = None,
    save_every: options.SaveEvery = None,
    out: options.Out = None,
) -> None:
    """Train the compact model on FER-2013's Training part, calibrate it, score it and write it for use.

    Stop it whenever you like: it is saved every 100 steps, and the same command goes on where it stopped. Sixty epochs
    take about an hour and a half on two cores with bfloat16 instructions, and two minutes on a large GPU
    (KERAS_BACKEND=jax). The number of steps may also be changed while it runs, in RUN_DIR/plan.json. To learn from a
    larger network's answers, train that one with --width first and name its folder with --teacher.
    """
    refuse_contradictions(dtype, start, width, teacher, trust)
    from fer_utils.dataset import load_dataset, subsample
    from fer_utils.models.keras_start import load_keras

    dataset = load_dataset(data)
    images, labels = dataset.subset("Training")
    kept = subsample(labels, limit, seed)
    load_keras()
    from workshop.model.begin import begun, planned, where_to_learn
    from workshop.model.finish import finish

    on_device = where_to_learn(on_device, views)
    own = {"learning_rate": learning_rate, "trust": trust}
    sizes = {"steps": steps, "epochs": epochs, "batch_size": batch_size, "validation_split": validation}
    rest = {"decay_from": decay_from, "seed": seed, "dtype": dtype, "on_device": on_device, "views": views}
    plan, finished, teachers = planned(len(kept), start, teacher or (), width, own, sizes, rest)
    run = begun(run_dir, images[kept], labels[kept], plan, finished, teachers)
    if run.step:
        typer.echo(f"Going on after step {run.step:,} of {plan.steps:,}.")
    run.learn(save_every)
    for line in finish(run, dataset, out or run_dir):
        typer.echo(line)


def refuse_contradictions(dtype: str, start, width: float, teacher, trust) -> None:
    """Raise typer.BadParameter if options contradict each other."""
    if dtype not in ("auto", "float32", "mixed_bfloat16"):
        raise typer.BadParameter(f"{dtype} is not auto, float32 or mixed_bfloat16", param_hint="--dtype")
    if trust is not None and not (start or teacher):
        raise typer.BadParameter("there are answers to trust only with --teacher or --start", param_hint="--trust")
    if start and width != 1:
        raise typer.BadParameter("the finished model has its own width", param_hint="--width")


@app.command()
def ensemble(
    member: options.Members,
    data: options.Data = None,
    run_dir: options.RunDir = Path("runs/ensemble"),
    out: options.Out = None,
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
