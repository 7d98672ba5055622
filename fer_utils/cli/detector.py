"""`fer predict`, `fer evaluate` and `fer app`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fer_utils.cli.data import _opened
from fer_utils.cli.options import AsJson, Split

Model = Annotated[str, typer.Option(help="'shipped', a .keras or .h5 file, or an .onnx.")]

Classes = Annotated[
    str, typer.Option(help="Order of the model's classes: fer2013, alphabetical, or seven names with commas.")
]
Scale = Annotated[
    str, typer.Option(help="Factor for the pixels 0..255: 1/255 if the model wants 0..1 and does not rescale itself.")
]


def predict(
    images: Annotated[list[str], typer.Argument(help="Photos, videos, folders of them, or patterns such as '*.jpg'.")],
    model: Model = "shipped",
    save: Annotated[
        Path | None, typer.Option(help="Folder for copies with a box and a label on every face, and a video's chart.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Table to write: one row a face, all seven probabilities.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each photo or frame.")] = False,
    every: Annotated[int, typer.Option(min=1, help="Of a video, look at every n-th frame.")] = 5,
    classes: Classes = "fer2013",
    scale: Scale = "1",
) -> None:
    """Find the faces in photos and videos and print the predicted expression of each.

    A file that cannot be opened costs one line on stderr and the exit code 2; the others are answered all the same.
    Ctrl+C ends it; what was seen until then is in the table and the copies.
    """
    from fer_utils.cli.model_reading import scale_of
    from fer_utils.cli.predicting import Predicting
    from fer_utils.detector.detector import EmotionDetector
    from fer_utils.detector.inputs import named_files
    from fer_utils.detector.table import require_table

    files = named_files(images)
    work = Predicting(
        EmotionDetector(model, classes, scale_of(scale)), save, as_json, every, [Path(file) for file in files]
    )
    if csv:
        require_table(csv)
    try:
        work.answer(files)
    finally:
        if csv:
            work.write_table(csv)
    if work.failed:
        raise typer.Exit(2)


def evaluate(
    model: Model = "shipped",
    data: Annotated[Path | None, typer.Option(help="[default: $FER_DATA, data/, the sample]")] = None,
    split: Split = "PublicTest",
    mirror: Annotated[
        bool,
        typer.Option("--mirror", help="Average every answer with that to the mirror image; 'shipped' always does."),
    ] = False,
    classes: Classes = "fer2013",
    scale: Scale = "1",
    as_json: AsJson = False,
) -> None:
    """Score a model on one official part: accuracy with 95 % interval, macro-F1, every class, calibration.

    A model maps pictures (n, 48, 48, 1) in 0..255 to seven probabilities, in the order angry, disgust, fear, happy,
    sad, surprise, neutral. Whether it is right far more often when it is read otherwise, is said.
    """
    from fer_utils.cli.model_reading import remark, scale_of
    from fer_utils.common.probabilities import mirror_averaged
    from fer_utils.detector.detector import EmotionDetector
    from fer_utils.evaluation.calibration import calibration_error_by_chance
    from fer_utils.evaluation.scores import class_report, describe, score

    detector = EmotionDetector(model, classes, scale_of(scale))
    dataset = _opened(data, as_json)
    images, labels = dataset.subset(split)
    about = {name: getattr(dataset, name) for name in ("source", "fingerprint", "is_sample", "is_fer2013", "problems")}
    probabilities = detector.predict(images)
    if mirror:
        probabilities = mirror_averaged(probabilities, detector.predict(images[:, :, ::-1]))
    result = {
        "model": model,
        "data": about,
        "mirror": mirror,
        "classes": classes,
        "scale": detector.scale,
        **score(labels, probabilities, split),
    }
    if model != "shipped" and (note := remark(model, classes, detector.scale, images, labels)):
        typer.echo(note, err=True)
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


def serve_app(
    model: Model = "shipped",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8866,
    ip: Annotated[str, typer.Option(help="Address to listen on; this one no other machine can reach.")] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Open the detector as a page of its own; without --ip no other machine can reach it."""
    from fer_utils.detector.detector import EmotionDetector
    from fer_utils.widgets.page import serve

    # Now, rather than when the first page is opened and nobody reads what went wrong.
    EmotionDetector(model)
    serve(model, port, browser, ip)
