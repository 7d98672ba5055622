"""The `fer` command. Nothing heavy is imported before a command needs it."""

import errno
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fer_utils.compact.commands import app as train_app
from fer_utils.errors import UserError
from fer_utils.sample.commands import app as sample_app
from fer_utils.sweep_command import sweep

app = typer.Typer(
    help="Learn facial-expression recognition on FER-2013: run the notebooks, look at data, predict, evaluate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Look at FER-2013, or fetch it.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(sample_app, name="sample")
app.add_typer(train_app, name="train")
results_app = typer.Typer(help="The recorded runs on FER-2013.", no_args_is_help=True)
app.add_typer(results_app, name="results")

# Profiles that take from half an hour to days: worth it for the real pictures only.
NEEDS_FER2013 = ("quick", "full")
Only = Annotated[
    list[str] | None, typer.Option(help="Only notebooks that begin so: 03, or A1 of the appendix. Repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Split = Annotated[str, typer.Option(help="Training, PublicTest or PrivateTest.")]


@app.command()
def run(
    profile: Annotated[str, typer.Option(help="A file in notebooks/profiles: sample, quick or full.")] = "sample",
    only: Only = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to.  [default: runs/PROFILE]")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE that wins over the profile. Repeatable.")
    ] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, help="Train on so many GPUs of this machine.  [default: $FER_DEVICES, or 1]")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Notebooks at the same time; each takes up to 2.5 GiB.")] = 1,
) -> None:
    """Execute the six notebooks of the series and leave notebooks, HTML, metrics and one index.html.

    Stops at the first error and shows notebook, cell and traceback. Training that was interrupted goes on
    after its last finished epoch when the same command is given again.
    """
    from fer_utils.devices import ask_for
    from fer_utils.profiles import check_overrides, find_notebooks
    from fer_utils.runner import parse_overrides, run_notebooks

    if devices:
        ask_for(devices)
    overrides = parse_overrides(parameter or [])
    check_overrides(overrides, find_notebooks(only))
    _check_data(profile, overrides.get("DATA"))
    page = run_notebooks(profile, only, out, overrides, jobs=jobs)
    typer.echo(f"Open {page}")


def _check_data(profile: str, wanted) -> None:
    """Refuse a data file that is missing, and hours of training on the sample that nobody asked for."""
    from fer_utils.dataset import find_source
    from fer_utils.dataset.find import HOW_TO_GET_IT
    from fer_utils.profiles import read_profile

    if wanted is None:
        wanted = read_profile(profile).get("all", {}).get("DATA")
    _, is_sample = find_source(wanted)
    if is_sample and str(wanted) != "sample" and profile in NEEDS_FER2013:
        raise UserError(
            f"the profile '{profile}' is meant for FER-2013, and none was found: {HOW_TO_GET_IT}. "
            "To run it on the embedded sample all the same, add -p DATA=sample"
        )


@app.command()
def refresh(
    only: Only = None,
) -> None:
    """Execute the notebooks and the appendix in place, for whoever changed them: outputs are renewed and tidied."""
    from fer_utils.runner import refresh_notebooks

    refresh_notebooks(only)


@app.command()
def handout(
    only: Only = None,
    out: Annotated[Path, typer.Option(help="Folder to write to; no file is ever overwritten.")] = Path("handout"),
) -> None:
    """Copy the notebooks without their results, for a class that predicts first."""
    from fer_utils.handout import write_handout
    from fer_utils.paths import shown

    for path in write_handout(out, only):
        typer.echo(shown(path))


app.command()(sweep)


def _opened(data: Path | None, as_json: bool):
    """Return the dataset; JSON stays alone on stdout, and that it is about the sample is said on stderr."""
    from fer_utils.dataset import load_dataset
    from fer_utils.dataset.load import announcement

    dataset = load_dataset(data, progress=not as_json)
    if as_json and dataset.is_sample:
        typer.echo(announcement(dataset)[0], err=True)
    return dataset


@data_app.command("info")
def data_info(
    path: Annotated[
        Path | None, typer.Argument(help="Zip, folder, CSV or .tar.gz.  [default: $FER_DATA, data/, the sample]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count the images per usage and emotion, and list what was skipped."""
    from fer_utils.paths import cache_folder

    dataset = _opened(path, as_json)
    counts = dataset.counts()
    if as_json:
        _print_as_json(dataset)
        return
    counts["all"] = counts.sum(axis=1)
    typer.echo(counts.to_string())
    for item in dataset.skipped[:10]:
        typer.echo(f"skipped {item.name}: {item.reason}")
    if len(dataset.skipped) > 10:
        typer.echo(f"… and {len(dataset.skipped) - 10} more; --json lists all")
    typer.echo(f"form {dataset.form}, fingerprint {dataset.fingerprint}, decoded copies in {cache_folder()}")


def _print_as_json(dataset) -> None:
    content = {
        "source": dataset.source,
        "form": dataset.form,
        "total": len(dataset),
        "counts": {usage: {name: int(n) for name, n in row.items()} for usage, row in dataset.counts().iterrows()},
        "skipped": [item._asdict() for item in dataset.skipped],
        "notes": dataset.notes,
        "fingerprint": dataset.fingerprint,
        "is_sample": dataset.is_sample,
    }
    typer.echo(json.dumps(content, indent=1, ensure_ascii=False))


@data_app.command("get")
def data_get(
    to: Annotated[Path, typer.Option(help="Folder to put it in.")] = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Download FER-2013 from Kaggle (through kagglehub) and verify its counts."""
    from fer_utils.dataset import download

    dataset = download(to, progress=not as_json)
    if as_json:
        _print_as_json(dataset)
        return
    typer.echo(f"{len(dataset):,} images in {dataset.source}; the counts are the published ones.")


@app.command()
def predict(
    images: Annotated[list[str], typer.Argument(help="Photos.")],
    model: Annotated[str, typer.Option(help="'shipped', a .keras file, or a compact.onnx.")] = "shipped",
    save: Annotated[
        Path | None, typer.Option(help="Folder for copies of the photos with a box and a label on every face.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the faces in photos and print the predicted expression of each.

    A photo that cannot be opened costs one line on stderr and the exit code 2; the others are answered all the same.
    """
    from tqdm import tqdm

    from fer_utils.photos import open_photo
    from fer_utils.prediction import EmotionDetector, save_annotated

    detector = EmotionDetector(model)
    entries, taken = [], [Path(image) for image in images]
    # Without --json the answers themselves show how far it is.
    for image in tqdm(images, "photos", unit="photo", delay=2, leave=False, disable=not as_json):
        entry = {"image": image, "faces": []}
        entries.append(entry)
        try:
            photo = open_photo(image)
            faces = detector(photo)
            entry["faces"] = [face.as_dict() for face in faces]
            if save:
                taken.append(save_annotated(photo, faces, save, taken))
        # Whatever it is about this photo: the others are still to be answered.
        except Exception as error:
            entry["error"] = str(error) if isinstance(error, UserError) else f"{image}: {error}"
            typer.echo(f"fer: {entry['error']}", err=True)
            continue
        if not as_json:
            _print_faces(image, faces)
    if as_json:
        typer.echo(json.dumps(entries, indent=1, ensure_ascii=False))
    if any("error" in entry for entry in entries):
        raise typer.Exit(2)


def _print_faces(image: str, faces: list) -> None:
    typer.echo(f"{image}: {len(faces)} face(s)")
    for face in faces:
        doubt = " (unsure)" if face.unsure else ""
        typer.echo(f"  {face.label} {face.confidence:.0%}{doubt} at x, y, width, height = {list(face.box)}")


@app.command()
def evaluate(
    model: Annotated[str, typer.Option(help="'shipped', a .keras file, or a compact.onnx.")] = "shipped",
    data: Annotated[Path | None, typer.Option(help="[default: $FER_DATA, data/, the sample]")] = None,
    split: Split = "PublicTest",
    mirror: Annotated[
        bool,
        typer.Option("--mirror", help="Average every answer with that to the mirror image; 'shipped' always does."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score a model on one official part: accuracy with 95 % interval, macro-F1, every class, calibration."""
    from fer_utils.calibration import mirror_averaged
    from fer_utils.evaluation import calibration_error_by_chance, class_report, describe, score
    from fer_utils.prediction import EmotionDetector

    detector = EmotionDetector(model)
    dataset = _opened(data, as_json)
    images, labels = dataset.subset(split)
    about = {"source": dataset.source, "fingerprint": dataset.fingerprint, "is_sample": dataset.is_sample}
    probabilities = detector.predict(images)
    if mirror:
        probabilities = mirror_averaged(probabilities, detector.predict(images[:, :, ::-1]))
    result = {"model": model, "data": about, "mirror": mirror, **score(labels, probabilities, split)}
    low, high = result["ece_if_calibrated"] = calibration_error_by_chance(probabilities)
    if as_json:
        typer.echo(json.dumps(result, indent=1))
        return
    looks = ", with the mirror images" if mirror else ""
    typer.echo(f"{dataset.title}{looks}, {describe(result)}")
    typer.echo(class_report(result).round(3).to_string())
    typer.echo(
        f"expected calibration error {result['ece']:.3f}; if every promise were kept, chance alone would make it "
        f"{low:.3f} to {high:.3f}"
    )


@results_app.command("show")
def results_show(split: Split = "PublicTest") -> None:
    """Print the recorded runs as a table."""
    from fer_utils.labels import USAGES
    from fer_utils.recorded import load_recorded, table

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
    from fer_utils.recorded import keep, write_all_runs, write_model_card, write_readme

    typer.echo(f"Kept as {keep(run, model, command, hardware, replace=replace).name}.")
    write_readme()
    write_all_runs()
    write_model_card()


@app.command("app")
def serve_app(
    model: Annotated[str, typer.Option(help="'shipped', a .keras file, or a compact.onnx.")] = "shipped",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8866,
    ip: Annotated[str, typer.Option(help="Address to listen on; this one no other machine can reach.")] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Open the detector as a page of its own; without --ip no other machine can reach it."""
    from fer_utils.webapp import serve

    serve(model, port, browser, ip)


def main() -> None:
    """Run the command line: 0 on success, 2 on bad usage or input, 1 on failure."""
    try:
        app(standalone_mode=True)
    except UserError as error:
        print(f"fer: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    # A folder that may not be read or written, a host that does not exist: another one has to be named. A full disk,
    # a drive that is gone: nothing was asked for wrongly.
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"fer: {place}{error.strerror or error}", file=sys.stderr)
        sys.exit(1 if error.errno in (errno.ENOSPC, errno.EIO) else 2)
    except Exception as error:
        from fer_utils.runner import NotebookFailed

        if not isinstance(error, NotebookFailed):
            raise
        print(f"fer: {error}", file=sys.stderr)
        sys.exit(1)
