"""`fer predict`, `fer evaluate` and `fer app`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fer_utils.cli.data import _opened
from fer_utils.cli.options import AsJson, Split
from fer_utils.common.errors import UserError


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

    from fer_utils.detector.annotate import save_annotated
    from fer_utils.detector.detector import EmotionDetector
    from fer_utils.detector.photos import open_photo

    detector = EmotionDetector(model)
    entries, taken = [], [Path(image) for image in images]
    # Without --json the answers themselves show how far it is; None: only where somebody looks at a terminal.
    for image in tqdm(images, "photos", unit="photo", delay=2, leave=False, disable=None if as_json else True):
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
        place = "in the picture as a whole" if face.whole else f"at x, y, width, height = {list(face.box)}"
        typer.echo(f"  {face.label} {face.confidence:.0%}{doubt} {place}")


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
    from fer_utils.common.probabilities import mirror_averaged
    from fer_utils.detector.detector import EmotionDetector
    from fer_utils.evaluation.calibration import calibration_error_by_chance
    from fer_utils.evaluation.scores import class_report, describe, score

    detector = EmotionDetector(model)
    dataset = _opened(data, as_json)
    images, labels = dataset.subset(split)
    about = {name: getattr(dataset, name) for name in ("source", "fingerprint", "is_sample", "is_fer2013", "problems")}
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


def serve_app(
    model: Annotated[str, typer.Option(help="'shipped', a .keras file, or a compact.onnx.")] = "shipped",
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
