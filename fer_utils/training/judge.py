"""A model's answers to every picture of every part, and their scores."""

from dataclasses import dataclass

import numpy as np

from fer_utils.common.probabilities import mirror_averaged
from fer_utils.evaluation.scores import describe, score
from fer_utils.models.predict import predict
from fer_utils.training.frozen_layers import predict_frozen_once


@dataclass(frozen=True)
class Judged:
    """What a model is worth on each part.

    Attributes:
        scores: from `score`, by the part's name.
        probabilities: float32 (n, 7), by the part's name.
    """

    scores: dict[str, dict]
    probabilities: dict[str, np.ndarray]

    def __str__(self) -> str:
        return "\n".join(describe(score) for score in self.scores.values())


def judge(model, parts: dict[str, tuple[np.ndarray, np.ndarray]], frozen_once: bool = False) -> Judged:
    """Ask a model about every picture of every part, and score the answers; printed, the result is one line a part.

    Args:
        model: (n, 48, 48, 1) in 0..255 → (n, 7).
        parts: (images uint8 (n, 48, 48), labels int64 (n,)) by name, as from `dataset.divide`.
        frozen_once: use what the frozen layers made of these pictures when the model was trained with `frozen_once`;
            it is computed and kept if it is not there.
    """
    ask = predict_frozen_once if frozen_once else predict
    found = {name: ask(model, images) for name, (images, _) in parts.items()}
    return Judged({name: score(labels, found[name], name) for name, (_, labels) in parts.items()}, found)


def judge_twice(model, parts: dict[str, tuple[np.ndarray, np.ndarray]], once: Judged) -> Judged:
    """Ask a model about every picture's mirror image as well, and score the mean of both answers.

    Args:
        model: as for `judge`.
        parts: as for `judge`.
        once: from `judge`, with at least these parts.
    """
    found = {
        name: mirror_averaged(once.probabilities[name], predict(model, images[:, :, ::-1]))
        for name, (images, _) in parts.items()
    }
    return Judged({name: score(labels, found[name], name) for name, (_, labels) in parts.items()}, found)
