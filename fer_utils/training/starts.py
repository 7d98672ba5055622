"""One network from several starts, in two stages: what the layers that notebooks 5 and 6 borrow are worth."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fer_utils.evaluation.scores import TOGETHER, score
from fer_utils.training.judge import judge
from fer_utils.training.run_files import TrainedRun

STAGES = ("head only", "last layers too")

NAMES = {"random": "random weights", "faces": "face weights", "imagenet": "ImageNet weights", "file": "own weights"}


@dataclass(frozen=True)
class Comparison:
    """What a network is worth from each start.

    Attributes:
        table: one row a start; columns (part with n, stage): accuracy and its 95 % interval, as text.
        labels: int64 (n,), of all test parts together.
        answers: probabilities float32 (n, 7) on these, by start, of the stage that was better on the validation part.
    """

    table: pd.DataFrame
    labels: np.ndarray
    answers: dict[str, np.ndarray]


def compare_starts(
    starts: Mapping[str, tuple[TrainedRun, TrainedRun]], parts: dict[str, tuple[np.ndarray, np.ndarray]]
) -> Comparison:
    """Judge both stages from each start, on the validation part and on the test parts together.

    Args:
        starts: both stages' runs, of `training.train` with `frozen_once`, by the kind of weights that they began with.
        parts: from `dataset.divide`.
    """
    parts = {name: part for name, part in parts.items() if name != "training"}
    labels = np.concatenate([part[1] for name, part in parts.items() if name != "validation"])
    columns = [f"validation part, n = {len(parts['validation'][1]):,}", f"{TOGETHER}, n = {len(labels):,}"]
    table = pd.DataFrame(columns=pd.MultiIndex.from_product([columns, STAGES]))
    answers = {}
    for start in sorted(starts, key=list(NAMES).index):
        cells = {}
        for stage, run in zip(STAGES, starts[start], strict=True):
            judged = judge(run.model, parts, frozen_once=True)
            together = np.concatenate([judged.probabilities[name] for name in parts if name != "validation"])
            scores = judged.scores["validation"], score(labels, together, TOGETHER)
            for column, result in zip(columns, scores, strict=True):
                low, high = result["accuracy_ci95"]
                cells[column, stage] = f"{result['accuracy']:.1%} ({low:.1%} to {high:.1%})"
            # As `training.join_stages` chooses: the first stage stays unless the second was better.
            if stage == STAGES[0] or _best(run) > _best(starts[start][0]):
                answers[start] = together
        table.loc[NAMES[start]] = cells
    return Comparison(table, labels, answers)


def _best(run: TrainedRun) -> float:
    return run.history["val_accuracy"].max()
