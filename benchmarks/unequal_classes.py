"""Remedies for unequal classes, compared on equal terms.

Equal terms means: the same network, the same initial weights for the same seed, the same number of training steps of
the same size, the same pictures to learn from and to judge with. Only the remedy differs. Each remedy sees a few seeds,
since a difference that another seed turns around is none.
"""

from collections.abc import Callable, Sequence

import numpy as np
from tqdm.auto import tqdm

from fer_utils.audit.statistics import class_weights
from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS

REMEDIES = ("none", "class weights", "focal loss", "oversampling after the split")

FOCUS = 2.0


def small_head(inputs: np.ndarray):
    """Build the network of the comparison: one dense layer of 256 on fixed features.

    Args:
        inputs: float32 (n, d), the features learned from; they are brought to a common scale by these alone.

    Returns:
        An uncompiled keras.Model, (n, d) → float32 (n, 7).
    """
    import keras
    from keras import layers

    from fer_utils.models.custom_cnn import softmax_output

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
    """
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
    """
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


def _predicted(model, inputs: np.ndarray) -> np.ndarray:
    """Return the most probable classes, int64 (m,); without `predict`, which is compiled anew for each model."""
    from keras import ops

    parts = [
        ops.convert_to_numpy(model(inputs[i : i + 256], training=False)).argmax(axis=1)
        for i in range(0, len(inputs), 256)
    ]
    return np.concatenate(parts)
