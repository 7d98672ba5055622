"""`python -m benchmarks.ensembles --data archive.zip --member runs/seed3 --member …`: which of them should be joined?

Every combination of finished compact models is weighed on the pictures that all of them held out, and only there. The
eight numbers of the calibration are fitted on four fifths of those and judged on the last fifth, five times in turn, so
that nothing is judged by what it was fitted to. That is done for many divisions into fifths, since one alone moves an
accuracy by some pictures.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import RepeatedKFold
from tqdm import tqdm

from benchmarks.experiment import Stopwatch, as_table, measured_line, open_data, parser, record
from fer_utils.calibration import fit_temperature_and_bias, mirror_averaged, negative_log_likelihood, with_temperature
from fer_utils.compact.start import Start
from fer_utils.dataset import split_validation
from fer_utils.evaluation import wilson_interval

FOLDS, DIVISIONS = 5, 20
HEAD = """# Which networks should be joined?

Made by `benchmarks/ensembles.py`; do not edit. Every combination of the compact models named by their seeds, on the
{n:,} pictures of `Training` that none of them learned from. Each answer is the mean of a face and its mirror image. The
calibration was fitted on four fifths of the pictures and judged on the last fifth, five times in turn; the figures are
means over {divisions} divisions into fifths. Best first.

"""


def main() -> None:
    arguments = parser("ensembles", __doc__.splitlines()[0])
    arguments.add_argument("--member", type=Path, action="append", required=True, help="folder of a finished run")
    arguments = arguments.parse_args()
    dataset, watch = open_data(arguments), Stopwatch()
    models = {start.about["seed"]: start for start in map(Start, arguments.member)}
    division, *others = [start.division for start in models.values()]
    if any(other != division for other in others):
        raise SystemExit("the members held out different pictures: train them with the same seed and --validation")
    images, labels = dataset.subset("Training")
    _, held = split_validation(images, labels, division["validation_split"], division["split_seed"])
    faces, labels = images[held], np.asarray(labels)[held]
    logits = {
        seed: [np.log(np.maximum(start.model.predict_once(x), 1e-30)) for x in (faces, faces[:, :, ::-1])]
        for seed, start in sorted(models.items())
    }
    settings = {"members": [str(path) for path in arguments.member], "n": len(held), "divisions": DIVISIONS, **division}
    text = page(record(arguments, dataset, settings, watch.seconds, weigh(logits, labels)))
    arguments.table.write_text(text, encoding="utf-8")
    print(text)


def weigh(logits: dict, labels: np.ndarray) -> pd.DataFrame:
    """Judge every combination of models.

    Args:
        logits: by the model's seed, of the faces and of their mirror images, each float (n, 7).
        labels: int (n,).

    Returns:
        A row for each combination: "members" (their seeds), "right" (a mean over the divisions), "n", "low" and "high"
        of the 95 % interval of the accuracy, "nats" (lost for a picture), best first.
    """
    rows, sizes = [], range(1, len(logits) + 1)
    for members in tqdm([each for size in sizes for each in combinations(logits, size)], unit="combination"):
        divisions = _calibrated(_joined([logits[seed] for seed in members]), labels)
        right = float(np.mean([(p.argmax(axis=1) == labels).sum() for p in divisions]))
        low, high = wilson_interval(right, len(labels))
        nats = float(np.mean([negative_log_likelihood(labels, p) for p in divisions]))
        named = ", ".join(map(str, members))
        rows.append({"members": named, "right": right, "n": len(labels), "low": low, "high": high, "nats": nats})
    return pd.DataFrame(rows).sort_values(["right", "nats"], ascending=[False, True], kind="stable")


def _joined(members: list) -> np.ndarray:
    """Return float (n, 7): what the ensemble answers, which has the mean of its members' logits."""
    means = (with_temperature(np.exp(np.mean(each, axis=0)), 1.0) for each in zip(*members, strict=True))
    return mirror_averaged(*means)


def _calibrated(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return probabilities (divisions, n, 7), each calibrated by the pictures of the other folds."""
    calibrated = np.empty((DIVISIONS, *p.shape))
    folds = RepeatedKFold(n_splits=FOLDS, n_repeats=DIVISIONS, random_state=0).split(p)
    for number, (others, fold) in enumerate(folds):
        found = fit_temperature_and_bias(labels[others], p[others])
        calibrated[number // FOLDS, fold] = with_temperature(p[fold], *found)
    return calibrated


def page(content: dict) -> str:
    """Return the Markdown page of a record."""
    table = pd.DataFrame(content["rows"]).set_index("members")
    share = table["right"] / table["n"]
    shown = pd.DataFrame(
        {
            "accuracy (95 % interval)": [
                f"{a:.1%} ({low:.1%} to {high:.1%})"
                for a, low, high in zip(share, table["low"], table["high"], strict=True)
            ],
            "right": table["right"].map("{:,.1f}".format),
            "nats lost for a picture": table["nats"].map("{:.3f}".format),
        },
        index=table.index.rename("seeds of the members"),
    )
    members = " ".join(f"--member {path}" for path in content["settings"]["members"])
    command = f"python -m benchmarks.ensembles --data archive.zip {members}"
    return HEAD.format(**content["settings"]) + as_table(shown) + "\n" + measured_line(content, command)


if __name__ == "__main__":
    main()
