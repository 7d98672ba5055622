"""Which labels look wrong: confident learning (Northcutt, Jiang & Chuang 2021, JAIR 70, "Confident learning: estimating
uncertainty in dataset labels"), as the package `cleanlab` implements it.

The idea: a model that never saw a picture's label says what it sees in the picture. Where it is sure of another class,
as sure as it usually is where that class is given, the label is suspicious. Any probabilities will do, as long as each
picture's come from a model that was fitted without it. `cross_validated_probabilities` makes some in seconds, from
edges and a linear model. What is flagged is a list to look through: the weaker the model, the more right labels are on
it, and its length does not say how many labels are wrong.
"""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS

COMPONENTS = 150

# Chosen by the accuracy on the given labels of the embedded sample, never by how many planted faults are found.
INVERSE_PENALTY = 3.0


def cross_validated_probabilities(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, folds: int = 5, seed: int = 0, progress: bool = True
) -> np.ndarray:
    """Return float64 (n, 7): for each picture, the probabilities from a model that saw neither it nor a copy of it.

    Logistic regression on the principal components of the features.

    Args:
        features: float (n, d), for instance from `edge_features`; any other description of a picture will do.
        labels: int64 (n,).
        groups: int64 (n,), pictures with the same number stay on one side; from `duplicate_groups` or `near_groups`.
            With a copy of a picture among its examples, a model would know the label instead of judging it.
        folds: into how many parts the data is divided, each judged by a model fitted on the others.
        seed: the same seed gives the same folds.
        progress: whether to show a progress bar.

    Raises:
        UserError: if a class has fewer different pictures than there are folds.
    """
    # A group counts for the label of its first picture, so that no more groups are claimed than there are.
    _, first = np.unique(groups, return_index=True)
    n_groups = np.bincount(labels[first], minlength=len(EMOTIONS))
    if n_groups.min() < folds:
        rarest = EMOTIONS[n_groups.argmin()]
        raise UserError(f"{n_groups.min()} different pictures of '{rarest}' are too few for {folds} folds: use fewer")
    probabilities = np.empty((len(labels), len(EMOTIONS)))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = tqdm(splitter.split(features, labels, groups), "fold", folds, disable=not progress, leave=False, delay=2)
    for fit, judged in parts:
        model = make_pipeline(
            PCA(min(COMPONENTS, features.shape[1], len(fit)), random_state=seed),
            LogisticRegression(C=INVERSE_PENALTY, tol=1e-2, max_iter=500),
        )
        # Such small products gain nothing from threads, which on a busy machine wait for each other instead.
        with threadpool_limits(1, user_api="blas"):
            model.fit(features[fit], labels[fit])
            probabilities[judged] = model.predict_proba(features[judged])
    return probabilities


def suspicious_labels(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Rank all labels, the most suspicious first.

    Args:
        labels: int64 (n,), each class at least once.
        probabilities: float (n, 7), each row from a model that was not fitted on that picture: from
            `cross_validated_probabilities`, or from any network, cross-validated likewise or trained on other data.

    Returns:
        One row a picture, index its position: label and suggested (the most probable class; both int64), quality (the
        probability of the given label, 0..1) and flagged (bool: confident learning calls the label an error). Sorted
        by quality, the flagged ones first.

    Raises:
        UserError: if a class is missing from the labels, or the shapes do not fit.
    """
    if np.shape(probabilities) != (len(labels), len(EMOTIONS)):
        raise UserError(
            f"probabilities have shape {np.shape(probabilities)}: expected ({len(labels)}, {len(EMOTIONS)})"
        )
    missing = [emotion for i, emotion in enumerate(EMOTIONS) if i not in labels]
    if missing:
        raise UserError(f"no picture is labelled {' or '.join(missing)}: confident learning needs every class")
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_self_confidence_for_each_label

    # One process: starting others takes longer than the work, and on Windows each would run the notebook's imports.
    flagged = find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)
    table = pd.DataFrame(
        {
            "label": labels,
            "suggested": probabilities.argmax(axis=1),
            "quality": get_self_confidence_for_each_label(labels, probabilities),
            "flagged": flagged,
        }
    )
    return table.sort_values(["flagged", "quality"], ascending=[False, True], kind="stable")
