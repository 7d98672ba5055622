"""The runs of a folder side by side."""

from pathlib import Path

import numpy as np
import pandas as pd

from fer_utils.common.intervals import wilson_interval
from fer_utils.common.labels import USAGES
from fer_utils.common.tables import show
from fer_utils.evaluation.scores import TOGETHER
from fer_utils.records.series import RUNS, SERIES
from fer_utils.training.run_files import PREDICTIONS_FILE

TEST_PARTS = USAGES[1:]


def load_predictions(output_dir: str | Path, results: list[dict], split: str = "PublicTest") -> dict[str, np.ndarray]:
    """Return the kept probabilities float (n, 7) on `split`, by the title of the series' model that they are of.

    Args:
        output_dir: where runs are kept.
        results: from `load_results`. Runs that kept no probabilities, or are of no model of the series, are left out.
        split: the name of a part, or `evaluation.TOGETHER` for PublicTest and then PrivateTest, as far as it is there.
    """
    found = {}
    for result in results:
        path, model = Path(output_dir) / result["name"] / PREDICTIONS_FILE, model_of(result)
        if model and path.is_file():
            with np.load(path) as arrays:
                names = [name for name in _parts(split) if name in arrays]
                if names:
                    found.setdefault(SERIES[model], np.concatenate([arrays[name] for name in names]))
    return found


def model_of(result: dict) -> str | None:
    """Return which model of the series a run is of, a key of `recorded.SERIES`; None for any other run."""
    return next((model for model, names in RUNS.items() if result["name"] in names), None)


def comparison(results: list[dict], split: str = "PublicTest") -> pd.DataFrame:
    """Return one row a run that was scored on `split`, in the order of the series.

    Columns: model, epochs, train minutes, training, validation (accuracies, fractions; NaN if not measured), n,
    accuracy, low and high (95 % interval) and macro-F1 on `split`.

    Args:
        results: from `load_results`, or recorded ones.
        split: the name of a part, or `evaluation.TOGETHER` for PublicTest and PrivateTest as one.

    Raises:
        ValueError: if runs on FER-2013 and on the embedded sample are mixed; their figures do not compare.
    """
    scored = [(result, _score(result, split)) for result in results]
    scored = [(result, score) for result, score in scored if score]
    if len({result["data"]["is_sample"] for result, _ in scored}) > 1:
        raise ValueError("runs on the embedded sample and on FER-2013 do not belong in one table")
    # Runs that are none of the series' own come last.
    order = [*RUNS, None]
    scored.sort(key=lambda pair: (order.index(model_of(pair[0])), -pair[1]["accuracy"]))
    rows = []
    for result, score in scored:
        beside = {name: result["scores"].get(name, {}).get("accuracy", np.nan) for name in ("training", "validation")}
        rows.append(
            {
                "model": result["title"],
                "epochs": result["epochs"],
                "train minutes": round(result["seconds"] / 60, 1),
                **beside,
                "n": score["n"],
                "accuracy": score["accuracy"],
                "low": score["accuracy_ci95"][0],
                "high": score["accuracy_ci95"][1],
                "macro-F1": score["macro_f1"],
            }
        )
    return pd.DataFrame(rows)


def _parts(split: str) -> tuple[str, ...]:
    return TEST_PARTS if split == TOGETHER else (split,)


def _score(result: dict, split: str) -> dict | None:
    """Return a run's score on `split`, or on both test parts as one; None if it was not scored there."""
    scores = [result["scores"][name] for name in _parts(split) if name in result["scores"]]
    if len(scores) < 2:
        return scores[0] if scores else None
    matrix = sum(np.array(score["confusion_matrix"]) for score in scores)
    right, n = int(matrix.trace()), int(matrix.sum())
    each = 2 * matrix.diagonal() / np.maximum(matrix.sum(axis=0) + matrix.sum(axis=1), 1)
    return {
        "split": split,
        "n": n,
        "accuracy": right / n,
        "accuracy_ci95": wilson_interval(right, n),
        "macro_f1": float(each[matrix.sum(axis=1) > 0].mean()),
    }


def styled(table: pd.DataFrame, split: str = "PublicTest"):
    """Return a table of `comparison` for display: accuracies in per cent, that on `split` with its interval and n."""
    if table.empty:
        return show(table)
    interval = [f"{low:.1%} to {high:.1%}" for low, high in zip(table["low"], table["high"], strict=True)]
    shown = table[["model", "training", "validation"]].assign(**{split: table["accuracy"], "95 % interval": interval})
    shown[["n", "epochs", "train minutes"]] = table[["n", "epochs", "train minutes"]]
    return show(shown, percent=("training", "validation", split), index=False)
