"""One JSON a run: what was trained on what, and what it scored. Tables are made from these, never by hand."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from fer_utils.common.errors import UserError
from fer_utils.common.files import write_atomically, write_text
from fer_utils.dataset import FerDataset
from fer_utils.records.schema import read_record
from fer_utils.training.identity import environment
from fer_utils.training.run_files import METRICS_FILE, PREDICTIONS_FILE, TrainedRun


def record(
    *,
    title: str,
    run: TrainedRun,
    dataset: FerDataset,
    scores: list[dict],
    settings: dict,
    weights: str = "none",
    predictions: dict[str, np.ndarray] | None = None,
    mirrored: list[dict] | None = None,
) -> dict:
    """Write a run's metrics.json beside its model and return what it holds.

    Args:
        title: the model's name in tables.
        run: from `training.train`.
        dataset: what it was trained on.
        scores: from `evaluation.score`, one a part.
        settings: the notebook's parameters that shape the run.
        weights: where the backbone's weights came from: "none" (no backbone), "imagenet", "faces", "file" or "random".
        predictions: probabilities float (n, 7) by part, kept beside the record, so that models can be compared
            image by image later.
        mirrored: from `evaluation.score`, of answers averaged with those to the mirror images, one a part.
    """
    content = {
        "title": title,
        "name": run.folder.name,
        "data": {
            "is_sample": dataset.is_sample,
            "is_fer2013": dataset.is_fer2013,
            "problems": dataset.problems,
            "form": dataset.form,
            "fingerprint": dataset.fingerprint,
            "counts": {usage: {key: int(n) for key, n in row.items()} for usage, row in dataset.counts().iterrows()},
        },
        "weights": weights,
        "settings": settings,
        "parameters": int(run.model.count_params()),
        "epochs": run.epochs,
        "best_epoch": run.best_epoch,
        "seconds": round(run.seconds, 1),
        "scores": {score["split"]: score for score in scores},
        "history": run.history.to_dict("list"),
        "environment": environment(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if mirrored:
        content["mirrored"] = {score["split"]: score for score in mirrored}
    if predictions:
        write_atomically(run.folder / PREDICTIONS_FILE, lambda file: np.savez_compressed(file, **predictions))
    write_text(run.folder / METRICS_FILE, json.dumps(content, indent=1))
    return content


def load_results(output_dir: str | Path, fingerprint: str | None = None) -> list[dict]:
    """Return every metrics.json below a folder, sorted by name; a damaged one costs a line on stderr.

    A training that was taken over from another run (see `training.train`) is one result and not two: the first stands.

    Args:
        output_dir: where runs are kept.
        fingerprint: leave out what was made from other data than that of a dataset with this fingerprint.
    """
    found, histories = [], []
    for path in sorted(Path(output_dir).rglob(METRICS_FILE)):
        try:
            result = read_record(path)
        except UserError as error:
            print(f"fer: {error}", file=sys.stderr)
            continue
        if fingerprint and result["data"]["fingerprint"] != fingerprint:
            continue
        # The seconds of every epoch make a history its own.
        history = result.get("history")
        if history is None or history not in histories:
            found.append(result)
            histories.append(history)
    return found
