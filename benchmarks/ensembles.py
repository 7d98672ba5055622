"""`python -m benchmarks.ensembles --data archive.zip --member runs/seed3 --member …`: which of them should be joined?

Every combination of finished compact models is weighed on the pictures that all of them held out, and only there. The
eight numbers of the calibration are fitted on four fifths of those and judged on the last fifth, five times in turn, so
that nothing is judged by what it was fitted to. So few pictures hardly tell the combinations apart. But two sources of
chance can be made smaller: it is done for many divisions into fifths, and each picture is looked at as it is and moved
by two pixels to every side.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import RepeatedKFold
from tqdm import tqdm

from benchmarks.experiment import Stopwatch, as_table, measured_line, open_data, parser, record
from fer_utils.common.errors import UserError
from fer_utils.common.intervals import wilson_interval
from fer_utils.common.probabilities import mirror_averaged, negative_log_likelihood, with_temperature
from fer_utils.evaluation.calibration import fit_temperature_and_bias
from workshop.model.ensemble import common_division
from workshop.model.start import Start, moved

FOLDS, DIVISIONS = 5, 20
# Pixels down and to the right.
POSITIONS = ((0, 0), (-2, 0), (2, 0), (0, -2), (0, 2))
HEAD = """# Which networks should be joined?

Made by `benchmarks/ensembles.py`; do not edit. Every combination of the compact models named by their seeds, on the
{n:,} pictures of `Training` that none of them learned from. Each answer is the mean of a face and its mirror image. The
calibration was fitted on four fifths of the pictures and judged on the last fifth, five times in turn. All figures are
means over {divisions} divisions into fifths and, but for the last column, over {positions} positions: the picture as it
is, and moved by two pixels up, down, left and right. Best first. The intervals are those of {n:,} pictures.

"""


def main() -> None:
    arguments = parser("ensembles", __doc__.splitlines()[0])
    arguments.add_argument("--member", type=Path, action="append", required=True, help="folder of a finished run")
    arguments = arguments.parse_args()
    dataset, watch = open_data(arguments), Stopwatch()
    models = {start.about["seed"]: start for start in map(Start, arguments.member)}
    try:
        _, held = common_division(list(models.values()), dataset)
    except UserError as error:
        raise SystemExit(str(error)) from error
    division = next(iter(models.values())).division
    images, labels = dataset.subset("Training")
    faces, labels = images[held], np.asarray(labels)[held]
    logits = {seed: _logits(start.model, faces) for seed, start in sorted(models.items())}
    settings = {
        "members": [str(path) for path in arguments.member],
        "n": len(held),
        "divisions": DIVISIONS,
        "positions": len(POSITIONS),
        **division,
    }
    text = page(record(arguments, dataset, settings, watch.seconds, weigh(logits, labels)))
    arguments.table.write_text(text, encoding="utf-8")
    print(text)


def _logits(model, faces: np.ndarray) -> np.ndarray:
    """Return float (positions, 2, n, 7): of the faces uint8 (n, 48, 48), and of their mirror images."""
    places = [moved(faces, *position) for position in POSITIONS]
    answers = [[model.predict_once(x) for x in (place, place[:, :, ::-1])] for place in places]
    return np.log(np.maximum(answers, 1e-30))


def weigh(logits: dict, labels: np.ndarray) -> pd.DataFrame:
    """Judge every combination of models.

    Args:
        logits: by the model's seed, float (positions, 2, n, 7): of the faces and of their mirror images. The first
            position is the faces as they are.
        labels: int (n,).

    Returns:
        A row for each combination: "members" (their seeds), "right" (a mean over divisions and positions), "n", "low"
        and "high" of the 95 % interval of the accuracy, "nats" (lost for a picture), "right as it is" (a mean over the
        divisions), best first.
    """
    rows, sizes = [], range(1, len(logits) + 1)
    for members in tqdm([each for size in sizes for each in combinations(logits, size)], unit="combination"):
        divisions = _calibrated(_joined([logits[seed] for seed in members]), labels)
        right = (divisions.argmax(axis=-1) == labels).sum(axis=-1)
        low, high = wilson_interval(right.mean(), len(labels))
        nats = np.mean([negative_log_likelihood(labels, p) for places in divisions for p in places])
        rows.append(
            {
                "members": ", ".join(map(str, members)),
                "right": float(right.mean()),
                "n": len(labels),
                "low": low,
                "high": high,
                "nats": float(nats),
                "right as it is": float(right[:, 0].mean()),
            }
        )
    return pd.DataFrame(rows).sort_values(["right", "nats"], ascending=[False, True], kind="stable")


def _joined(members: list) -> np.ndarray:
    """Return float (positions, n, 7): what the ensemble answers, which has the mean of its members' logits."""
    mean = np.mean(members, axis=0)
    return np.stack([mirror_averaged(*(with_temperature(np.exp(side), 1.0) for side in place)) for place in mean])


def _calibrated(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return probabilities (divisions, positions, n, 7), each calibrated by the pictures of the other folds."""
    calibrated = np.empty((DIVISIONS, *p.shape))
    folds = RepeatedKFold(n_splits=FOLDS, n_repeats=DIVISIONS, random_state=0).split(labels)
    for number, (others, fold) in enumerate(folds):
        # As the shipped model is calibrated: on pictures as they are.
        found = fit_temperature_and_bias(labels[others], p[0, others])
        for place in range(len(p)):
            calibrated[number // FOLDS, place, fold] = with_temperature(p[place, fold], *found)
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
            "right as it is": table["right as it is"].map("{:,.1f}".format),
        },
        index=table.index.rename("seeds of the members"),
    )
    members = " ".join(f"--member {path}" for path in content["settings"]["members"])
    command = f"python -m benchmarks.ensembles --data archive.zip {members}"
    return HEAD.format(**content["settings"]) + as_table(shown) + "\n" + measured_line(content, command)


if __name__ == "__main__":
    main()
