"""The commands `python -m workshop.sample train` and `python -m workshop.sample draw`.

Keras is imported inside the commands: `fer --help` must not wait for it.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Make another embedded sample: train the face generator, draw from it.")

DataOption = Annotated[Path, typer.Option(help="FER-2013: Kaggle's zip, the same as a folder, or the CSV.")]

GuidanceOption = Annotated[
    float | None,
    typer.Option(min=0.1, help="How strongly the expression is pressed upon a face; by default set per class."),
]
AutoguidanceOption = Annotated[
    float | None,
    typer.Option(min=1.0, help="How strongly faces are pushed away from those of the early weights; 1 does without."),
]
EarlyOption = Annotated[
    Path | None, typer.Option(help="Weights kept early in the run; by default early.npz beside the weights.")
]
ShareOption = Annotated[
    float, typer.Option(min=0.05, max=1.0, help="Part of the faces that is kept; the most broken ones go.")
]


def _real_faces(data, usages):
    """Read the parts `usages` of FER-2013; exit with 2 if it cannot be read, lacks one, or is the sample itself."""
    from fer_utils.common.errors import UserError
    from fer_utils.dataset import load_dataset

    try:
        dataset = load_dataset(data)
        if dataset.is_sample:
            raise UserError(f"{data} is the embedded sample; the generator learns from FER-2013 itself")
        return [dataset.subset(usage) for usage in usages]
    except UserError as error:
        raise typer.BadParameter(str(error), param_hint="--data") from error


@app.command()
def train(
    data: DataOption,
    run_dir: Annotated[Path, typer.Option(help="Folder of the run; if it holds one, that run goes on.")],
    steps: Annotated[int, typer.Option(min=1, help="Training steps in all; may be changed when a run goes on.")] = 5000,
    decay_from: Annotated[
        int | None, typer.Option(min=0, help="Step from which the learning rate falls; by default the last 40 %.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Faces in a training step.")] = 96,
    learning_rate: Annotated[float, typer.Option(min=1e-6, help="Highest learning rate of AdamW.")] = 8e-4,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
    width: Annotated[
        float, typer.Option(min=0.1, help="Factor on the network's channels; a GPU can do with 1.5 or 2.")
    ] = 1.0,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between two checkpoints.")] = 100,
    dtype: Annotated[
        str, typer.Option(help="Keras dtype policy; mixed_bfloat16 is faster on processors that have avx512_bf16.")
    ] = "float32",
):
    """Train the face generator on FER-2013's Training part.

    Stop it whenever you like: it is saved every 100 steps, and the same command goes on where it stopped. On two
    cores with bfloat16 instructions 5,000 steps take an hour to an hour and a half. The steps may also be changed while
    it runs, in RUN_DIR/plan.json. A GPU does as many in minutes, and a wider network too (--width). The weights to draw
    from are RUN_DIR/weights.npz and RUN_DIR/early.npz.
    """
    if dtype not in ("float32", "mixed_bfloat16", "mixed_float16"):
        raise typer.BadParameter(f"{dtype} is not float32, mixed_bfloat16 or mixed_float16", param_hint="--dtype")
    if decay_from is not None and decay_from >= steps:
        raise typer.BadParameter(f"{decay_from} is not before the last step, {steps}", param_hint="--decay-from")
    [(images, labels)] = _real_faces(data, ["Training"])

    from fer_utils.common.files import fingerprint
    from fer_utils.models.compact_cnn import scaled_widths
    from workshop.sample.train import Plan, Run

    plan = Plan(
        steps=steps,
        decay_from=decay_from,
        seed=seed,
        batch_size=batch_size,
        learning_rate=learning_rate,
        dtype=dtype,
        widths=scaled_widths(Plan.widths, width),
    )
    try:
        weights = Run(run_dir, images, labels, plan).train(save_every=save_every)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--run-dir") from error
    typer.echo(f"{weights}  sha256 {fingerprint(weights)}")


@app.command()
def draw(
    data: DataOption,
    weights: Annotated[Path, typer.Option(help="The weights.npz of a training run.")],
    out: Annotated[Path, typer.Option(help="Folder for the archive, its CSV files and its manifest.")] = Path("data"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the faces and of the planted defects.")] = 1,
    train_size: Annotated[int, typer.Option(min=200, help="Training images, planted copies included.")] = 2800,
    test_size: Annotated[int, typer.Option(min=100, help="Test images, an even number.")] = 700,
    steps: Annotated[int, typer.Option(min=2, help="Steps of the sampler.")] = 16,
    guidance: GuidanceOption = None,
    autoguidance: AutoguidanceOption = None,
    early: EarlyOption = None,
    share: ShareOption = 0.66,
):
    """Draw faces, weed out the broken ones and those too close to a real face, and build the sample's archive.

    FER-2013 is needed for the comparison with real faces; nothing of it gets into the archive.
    """
    if test_size % 2:
        raise typer.BadParameter(f"{test_size} is odd; two parts share the test images", param_hint="--test-size")
    _require_face_finder()
    (training, _), (public, _) = _real_faces(data, ["Training", "PublicTest"])

    from workshop.sample.make import draw_candidates, pack_sample

    sizes = {"train_size": train_size, "test_size": test_size, "share": share}
    chosen = {name: value for name, value in (("guidance", guidance), ("autoguidance", autoguidance)) if value}
    try:
        images, labels, provenance = draw_candidates(weights, seed, steps=steps, early=early, **chosen, **sizes)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--weights or --early") from error
    options = {"seed": seed, "train-size": train_size, "test-size": test_size, "steps": steps, **chosen, "share": share}
    provenance["command"] = "python -m workshop.sample draw --data archive.zip --weights weights.npz " + " ".join(
        f"--{name} {value}" for name, value in options.items()
    )
    try:
        manifest = pack_sample(images, labels, provenance, training, public, out, seed, **sizes)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--share") from error
    for rule, count in manifest["screening"].items():
        typer.echo(f"{count:>7,}  {rule}")
    typer.echo(f"{out / 'fer_sample.zip'}  sha256 {manifest['sha256']['fer_sample.zip']}")


def _require_face_finder():
    """Exit with 2 if the face detector is missing: it is needed only after the drawing, which takes long."""
    from fer_utils.common.errors import UserError
    from fer_utils.detector.faces import FaceFinder

    try:
        FaceFinder().load()
    except UserError as error:
        raise typer.BadParameter(str(error), param_hint="the rule about broken faces") from error
