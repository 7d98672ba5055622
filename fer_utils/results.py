"""One JSON a run: what was trained on what, and what it scored. Tables are made from these, never by hand."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from fer_utils.dataset import FerDataset
from fer_utils.dataset.records import data_title
from fer_utils.training import TrainedRun, environment

METRICS_FILE = "metrics.json"
PREDICTIONS_FILE = "predictions.npz"


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
        weights: where the backbone's weights came from: "none" (no backbone), "imagenet", "file" or "random".
        predictions: probabilities float (n, 7) by part, kept beside the record, so that models can be compared
            image by image later.
        mirrored: from `evaluation.score`, of answers averaged with those to the mirror images, one a part.
    """
    content = {
        "title": title,
        "name": run.folder.name,
        "data": {
            "is_sample": dataset.is_sample,
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
        np.savez_compressed(run.folder / PREDICTIONS_FILE, **predictions)
    (run.folder / METRICS_FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return content


def load_results(output_dir: str | Path) -> list[dict]:
    """Return every metrics.json below a folder, sorted by name; an unreadable one is left out.

    A training that was taken over from another run (see `training.train`) is one result and not two: the first stands.
    """
    found, histories = [], []
    for path in sorted(Path(output_dir).rglob(METRICS_FILE)):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        # The seconds of every epoch make a history its own.
        history = result.get("history")
        if history is None or history not in histories:
            found.append(result)
            histories.append(history)
    return found


def load_predictions(output_dir: str | Path, results: list[dict], split: str = "PublicTest") -> dict[str, np.ndarray]:
    """Return the kept probabilities float (n, 7) on `split`, by the runs' titles; runs that kept none are left out."""
    found = {}
    for result in results:
        path = Path(output_dir) / result["name"] / PREDICTIONS_FILE
        if path.is_file():
            with np.load(path) as arrays:
                if split in arrays:
                    found[result["title"]] = arrays[split]
    return found


def comparison(results: list[dict], split: str = "PublicTest") -> pd.DataFrame:
    """Return one row a run that was scored on `split`, best first.

    Columns: model, data, weights, epochs, train minutes, n, accuracy, low and high (95 % interval, fractions),
    macro-F1.

    Raises:
        ValueError: if runs on FER-2013 and on the embedded sample are mixed; their figures do not compare.
    """
    scored = [result for result in results if split in result["scores"]]
    kinds = {result["data"]["is_sample"] for result in scored}
    if len(kinds) > 1:
        raise ValueError("runs on the embedded sample and on FER-2013 do not belong in one table")
    rows = []
    for result in scored:
        score = result["scores"][split]
        rows.append(
            {
                "model": result["title"],
                "data": data_title(result["data"]["is_sample"]),
                "weights": result["weights"],
                "epochs": result["epochs"],
                "train minutes": round(result["seconds"] / 60, 1),
                "n": score["n"],
                "accuracy": score["accuracy"],
                "low": score["accuracy_ci95"][0],
                "high": score["accuracy_ci95"][1],
                "macro-F1": score["macro_f1"],
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values("accuracy", ascending=False, ignore_index=True) if rows else table


def styled(table: pd.DataFrame):
    """Return a table of `comparison` for display: shares in percent, no row numbers."""
    percent = dict.fromkeys(("accuracy", "low", "high"), "{:.1%}")
    return table.style.format({**percent, "train minutes": "{:.1f}", "macro-F1": "{:.3f}", "n": "{:,}"}).hide()
