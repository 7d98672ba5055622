"""`fer data`: what there is, and fetching it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fer_utils.cli.options import AsJson

data_app = typer.Typer(help="Look at FER-2013, or fetch it.", no_args_is_help=True)


def _opened(data: Path | None, as_json: bool):
    """Return the dataset; JSON stays alone on stdout, and what has to be known all the same is said on stderr."""
    from fer_utils.dataset import load_dataset
    from fer_utils.dataset.load import announcement, say_problems

    dataset = load_dataset(data, progress=not as_json)
    if as_json:
        if dataset.is_sample:
            typer.echo(announcement(dataset)[0], err=True)
        say_problems(dataset)
    return dataset


@data_app.command("info")
def data_info(
    path: Annotated[
        Path | None, typer.Argument(help="Zip, folder, CSV or .tar.gz.  [default: $FER_DATA, data/, the sample]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count the images per usage and emotion, and list what was skipped."""
    from fer_utils.common.paths import cache_folder
    from fer_utils.dataset.names import quoted

    dataset = _opened(path, as_json)
    counts = dataset.counts()
    if as_json:
        _print_as_json(dataset)
        return
    counts["all"] = counts.sum(axis=1)
    typer.echo(counts.to_string())
    for item in dataset.skipped[:10]:
        typer.echo(f"skipped {quoted(item.name)}: {item.reason}")
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
        "problems": dataset.problems,
        "is_sample": dataset.is_sample,
        "is_fer2013": dataset.is_fer2013,
    }
    # Escaped, since no terminal knows all characters of all file names.
    typer.echo(json.dumps(content, indent=1))


@data_app.command("get")
def data_get(
    to: Annotated[Path, typer.Option(help="Folder to put it in.")] = Path("data"), as_json: AsJson = False
) -> None:
    """Download FER-2013 from Kaggle (through kagglehub) and verify its counts."""
    from fer_utils.dataset import download

    dataset = download(to, progress=not as_json)
    if as_json:
        _print_as_json(dataset)
        return
    typer.echo(f"{len(dataset):,} images in {dataset.source}; the counts are the published ones.")
