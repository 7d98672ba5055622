"""Remedies for unequal classes, compared on equal terms.

Equal terms means: the same network, the same initial weights for the same seed, the same number of training steps of
the same size, the same pictures to learn from and to judge with. Only the remedy differs. Each remedy sees a few seeds,
since a difference that another seed turns around is none.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from fer_utils.analysis import class_weights
from fer_utils.errors import UserError
from fer_utils.labels import EMOTIONS

REMEDIES = ("none", "class weights", "focal loss", "oversampling after the split")
MEASURES = ("accuracy", "balanced accuracy", "macro-F1", "disgust recall")
FOCUS = 2.0
RESAMPLES = 2000


def small_head(inputs: np.ndarray):
    """Build the network of the comparison: one dense layer of 256 on fixed features.

    Args:
        inputs: float32 (n, d), the features learned from; they are brought to a common scale by these alone.

    Returns:
        An uncompiled keras.Model, (n, d) → float32 (n, 7).
    """
    import keras
    from keras import layers

    from fer_utils.models import softmax_output

    spread = np.maximum(inputs.std(axis=0), 1e-6)
    scale = layers.Normalization(mean=inputs.mean(axis=0), variance=spread**2, name="scale")
    features = keras.Input(inputs.shape[1:], name="features")
    x = layers.Dense(256, activation="relu", name="dense")(scale(features))
    x = layers.Dropout(0.5, name="dropout")(x)
    return keras.Model(features, softmax_output(x), name="small_head")


def draw_rows(labels: np.ndarray, remedy: str, generator: np.random.Generator) -> np.ndarray:
    """Return the rows of one epoch, int64 (n,): as many as there are pictures, whatever the remedy.

    Oversampling draws every class equally often, with replacement; it comes after the split, so the copies stay among
    the pictures learned from. All other remedies see each picture once.

    Args:
        labels: int64 (n,), of the pictures to learn from.
        remedy: one of `REMEDIES`.
        generator: for the draws.
    """
    if remedy != "oversampling after the split":
        return generator.permutation(len(labels))
    counts = np.bincount(labels, minlength=len(EMOTIONS))
    chance = 1 / (counts[labels] * np.count_nonzero(counts))
    return generator.choice(len(labels), len(labels), p=chance)


def train_with(
    remedy: str,
    inputs: np.ndarray,
    labels: np.ndarray,
    *,
    seed: int,
    epochs: int,
    batch_size: int = 128,
    learning_rate: float = 0.001,
    build: Callable = small_head,
    used: dict | None = None,
):
    """Train one network with one remedy.

    The remedies: "none"; "class weights", which multiply each picture's loss by n / (7 · n of its class); "focal
    loss", which counts what is already answered well for less (Lin et al. 2017, arXiv:1708.02002, γ = 2);
    "oversampling after the split".

    Args:
        remedy: one of `REMEDIES`.
        inputs: what `build`'s network takes, float32 (n, …).
        labels: int64 (n,).
        seed: for the initial weights and the order of the pictures.
        epochs: passes over as many pictures as there are.
        batch_size: pictures per step.
        learning_rate: Adam's.
        build: a function from the inputs to an uncompiled keras.Model.
        used: networks of earlier calls with the same inputs, which are begun anew instead of building and tracing
            another one. The results are the same; the network returned by an earlier call is trained over.

    Returns:
        The trained keras.Model.

    Raises:
        UserError: if there is no such remedy.
    """  # fmt: skip
    import keras

    if remedy not in REMEDIES:
        raise UserError(f"unknown remedy '{remedy}': choose from {', '.join(REMEDIES)}")
    keras.utils.set_random_seed(seed)
    model = _with_loss(build(inputs), remedy, learning_rate, used if used is not None else {})
    weight_of = class_weights(labels) if remedy == "class weights" else dict.fromkeys(range(len(EMOTIONS)), 1.0)
    weights = np.array([weight_of[label] for label in labels.tolist()], np.float32)
    targets, generator = np.eye(len(EMOTIONS), dtype=np.float32)[labels], np.random.default_rng(seed)
    for _ in range(epochs):
        rows = draw_rows(labels, remedy, generator)
        model.fit(
            inputs[rows], targets[rows], sample_weight=weights[rows], batch_size=batch_size, shuffle=False, verbose=0
        )
    return model


def _with_loss(fresh, remedy: str, learning_rate: float, used: dict):
    """Compile a network with the remedy's loss, or give its variables to a compiled one of the same kind."""
    import keras

    # alpha only scales the loss, and Adam takes the scale out again.
    focal = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=FOCUS)
    loss = focal if remedy == "focal loss" else keras.losses.CategoricalCrossentropy()
    model = used.setdefault(type(loss), fresh)
    if model is fresh:
        model.compile(keras.optimizers.Adam(learning_rate), loss)
        return model
    # All variables and not only the weights: the state of the dropout's random numbers belongs to the seed.
    for old, new in zip(model.variables, fresh.variables, strict=True):
        old.assign(new)
    for variable in model.optimizer.variables:
        variable.assign(keras.ops.zeros_like(variable))
    model.optimizer.learning_rate = learning_rate
    return model


def run(
    fit: tuple[np.ndarray, np.ndarray],
    judged: np.ndarray,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    epochs: int = 10,
    remedies: Sequence[str] = REMEDIES,
    batch_size: int = 128,
    learning_rate: float = 0.001,
    build: Callable = small_head,
    progress: bool = True,
) -> dict[str, np.ndarray]:
    """Train every remedy with every seed.

    Args:
        fit: (inputs float32 (n, …), labels int64 (n,)) to learn from, after the split.
        judged: inputs float32 (m, …) to predict.
        seeds: at least 1; the interval of `table` needs 3.
        epochs: for all alike, fixed beforehand; nothing is chosen on what is judged.
        remedies: some of `REMEDIES`.
        batch_size: pictures per step.
        learning_rate: Adam's.
        build: a function from the inputs to an uncompiled keras.Model.
        progress: whether to show a progress bar.

    Returns:
        The predicted classes by remedy, int64 (seeds, m).

    Raises:
        UserError: if a remedy is not known.
    """  # fmt: skip
    shared = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "build": build, "used": {}}
    found: dict[str, list] = {remedy: [] for remedy in remedies}
    with tqdm(total=len(remedies) * len(seeds), unit="training", disable=not progress, leave=False) as bar:
        for seed in seeds:
            for remedy in remedies:
                bar.set_description(remedy)
                model = train_with(remedy, *fit, seed=seed, **shared)
                found[remedy].append(_predicted(model, judged))
                bar.update()
    return {remedy: np.stack(predicted) for remedy, predicted in found.items()}


def table(labels: np.ndarray, predicted: dict[str, np.ndarray], seed: int = 0) -> pd.DataFrame:
    """Return what each remedy is worth, with everything needed to doubt it.

    The intervals come from drawing both the pictures and the seeds anew (Efron 1979), the same draws for every remedy:
    a difference is therefore compared on the same pictures and the same seeds. With few seeds the spread between them
    is known only roughly.

    Args:
        labels: int64 (m,).
        predicted: from `run`; the first remedy is what the others are compared with.
        seed: for the draws.

    Returns:
        One row for each remedy and each of `MEASURES`: remedy; measure; mean over the seeds; spread (standard
        deviation over the seeds; nan for one seed); low and high (95 % interval of the mean); gain (mean less the
        first remedy's), gain low and gain high; n (pictures that count for the measure); seeds. Shares are fractions.

    Raises:
        UserError: if predictions and labels do not fit.
    """
    labels = np.asarray(labels)
    shapes = {np.shape(found) for found in predicted.values()}
    if len(shapes) != 1 or next(iter(shapes))[1:] != labels.shape or not len(labels):
        raise UserError(f"predictions of shapes {sorted(shapes)} do not fit {len(labels)} labels")
    (n_seeds, n), n_disgust = next(iter(shapes)), int((labels == EMOTIONS.index("disgust")).sum())
    generator = np.random.default_rng(seed)
    # Row 0 holds every picture once; the others are draws with replacement.
    times = np.concatenate([np.ones((1, n)), generator.multinomial(n, np.full(n, 1 / n), RESAMPLES)]).astype(np.float32)
    drawn_seeds = np.concatenate([[np.arange(n_seeds)], generator.integers(0, n_seeds, (RESAMPLES, n_seeds))])
    measured = {
        remedy: np.stack([_measures(labels, one, times) for one in found]) for remedy, found in predicted.items()
    }
    # (draws, measures): the mean over the seeds that were drawn.
    means = {
        remedy: values[drawn_seeds, np.arange(len(times))[:, None]].mean(axis=1) for remedy, values in measured.items()
    }
    base, rows = means[next(iter(means))], []
    for remedy, values in means.items():
        gains = values - base
        for i, measure in enumerate(MEASURES):
            single = measured[remedy][:, 0, i]
            low, high = _middle(values[1:, i])
            gain_low, gain_high = _middle(gains[1:, i])
            rows.append(
                {
                    "remedy": remedy, "measure": measure, "mean": float(values[0, i]),
                    "spread": float(single.std(ddof=1)) if n_seeds > 1 else np.nan, "low": low, "high": high,
                    "gain": float(gains[0, i]), "gain low": gain_low, "gain high": gain_high,
                    "n": n_disgust if measure == "disgust recall" else n, "seeds": n_seeds,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def readable(found: pd.DataFrame) -> pd.DataFrame:
    """Return `table` as text, one row a remedy: mean ± spread over the seeds, and the interval."""
    return _pivoted(
        found, lambda row: f"{row['mean']:.1%} ± {row['spread']:.1%} ({row['low']:.1%} to {row['high']:.1%})"
    )


def gains(found: pd.DataFrame) -> pd.DataFrame:
    """Return from `table`, as text, what each remedy but the first gains, in percentage points with the interval."""

    def cell(row):
        return f"{100 * row['gain']:+.1f} ({100 * row['gain low']:+.1f} to {100 * row['gain high']:+.1f})"

    return _pivoted(found[found["remedy"] != found["remedy"].iloc[0]], cell)


def _pivoted(found: pd.DataFrame, cell: Callable) -> pd.DataFrame:
    cells = [cell(row) for _, row in found.iterrows()]
    shown = found.assign(cell=cells).pivot(index="remedy", columns="measure", values="cell")
    return shown.loc[found["remedy"].unique(), list(MEASURES)].rename_axis(columns=None)


def _middle(values: np.ndarray) -> tuple[float, float]:
    """Return what bounds the middle 95 % of the values; a draw without the class that is measured does not count."""
    values = values[np.isfinite(values)]
    return tuple(np.percentile(values, [2.5, 97.5]).tolist()) if len(values) else (np.nan, np.nan)


def _predicted(model, inputs: np.ndarray) -> np.ndarray:
    """Return the most probable classes, int64 (m,); without `predict`, which is compiled anew for each model."""
    from keras import ops

    parts = [
        ops.convert_to_numpy(model(inputs[i : i + 256], training=False)).argmax(axis=1)
        for i in range(0, len(inputs), 256)
    ]
    return np.concatenate(parts)


def _measures(labels: np.ndarray, predicted: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return `MEASURES` for every draw, (draws, 4); `times` (draws, m) says how often each picture was drawn."""
    n_classes = len(EMOTIONS)
    cell = np.eye(n_classes * n_classes, dtype=np.float32)[labels * n_classes + predicted]
    matrices = (times @ cell).reshape(-1, n_classes, n_classes).astype(np.float64)
    right, true, named = (matrices.diagonal(axis1=1, axis2=2), matrices.sum(axis=2), matrices.sum(axis=1))
    present = true > 0
    recall = np.divide(right, true, out=np.full(right.shape, np.nan), where=present)
    f1 = np.divide(2 * right, true + named, out=np.zeros(right.shape), where=true + named > 0)
    return np.stack(
        [
            right.sum(axis=1) / true.sum(axis=1),
            np.nanmean(recall, axis=1),
            np.where(present, f1, 0).sum(axis=1) / present.sum(axis=1),
            recall[:, EMOTIONS.index("disgust")],
        ],
        axis=1,
    )
