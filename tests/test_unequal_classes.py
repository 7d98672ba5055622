"""Remedies against unequal classes are compared on equal terms, and measured as scikit-learn measures."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score

from benchmarks import remedies, unequal_classes
from fer_utils import EMOTIONS, plots
from fer_utils.common.errors import UserError
from fer_utils.experiments import remedy_table
from fer_utils.models.keras_start import load_keras

keras = load_keras()
DISGUST = EMOTIONS.index("disgust")


@pytest.fixture(scope="module")
def guesses():
    """Labels of 200 pictures, and what three seeds of two remedies answered."""
    generator = np.random.default_rng(0)
    labels = generator.choice(7, 200, p=[0.15, 0.05, 0.15, 0.25, 0.15, 0.1, 0.15])
    predicted = {
        name: np.stack([np.where(generator.random(200) < share, labels, generator.integers(0, 7, 200)) for _ in "abc"])
        for name, share in (("none", 0.4), ("better", 0.7))
    }
    return labels, predicted


def test_measures_are_those_of_scikit_learn(guesses):
    labels, predicted = guesses
    found = remedies.table(labels, predicted).set_index(["remedy", "measure"])
    reference = {
        "accuracy": accuracy_score,
        "balanced accuracy": balanced_accuracy_score,
        "macro-F1": lambda y, p: f1_score(y, p, average="macro"),
        "disgust recall": lambda y, p: recall_score(y, p, labels=[DISGUST], average="macro"),
    }
    for remedy, answers in predicted.items():
        for measure, function in reference.items():
            values = [function(labels, one) for one in answers]
            row = found.loc[(remedy, measure)]
            assert row["mean"] == pytest.approx(np.mean(values), abs=1e-6)
            assert row["spread"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    assert found["n"].loc[("none", "disgust recall")] == (labels == DISGUST).sum()
    assert (found["seeds"] == 3).all()


def test_a_class_that_does_not_occur_is_left_out_of_the_averages():
    labels, predicted = np.array([0, 0, 3, 3]), np.array([[0, 3, 3, 3]])
    found = remedies.table(labels, {"none": predicted}).set_index("measure")["mean"]
    assert found["balanced accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted[0]))
    assert found["macro-F1"] == pytest.approx(f1_score(labels, predicted[0], average="macro"))
    assert np.isnan(found["disgust recall"])


def test_accuracy_interval_is_about_as_wide_as_the_binomial_one():
    """With seeds that agree, only the pictures vary, and the width is known: 2 · 1.96 · √(p (1 − p) / n)."""
    labels = np.zeros(400, np.int64)
    answers = np.tile((np.arange(400) >= 240).astype(np.int64), (3, 1))
    row = remedies.table(labels, {"none": answers}).set_index("measure").loc["accuracy"]
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * np.sqrt(0.6 * 0.4 / 400), rel=0.08)
    assert row["spread"] == 0


def test_seeds_that_disagree_widen_the_interval():
    labels = np.zeros(400, np.int64)
    right, wrong = np.zeros(400, np.int64), np.ones(400, np.int64)
    row = remedies.table(labels, {"none": np.stack([right, right, wrong])}).set_index("measure").loc["accuracy"]
    assert row["low"] < 0.1 and row["high"] > 0.9


def test_gains_are_paired_with_the_first_remedy(guesses):
    labels, predicted = guesses
    found = remedies.table(labels, predicted).set_index(["remedy", "measure"])
    assert (found.loc["none", ["gain", "gain low", "gain high"]] == 0).all(axis=None)
    row = found.loc[("better", "accuracy")]
    assert row["gain"] == pytest.approx(row["mean"] - found.loc[("none", "accuracy"), "mean"])
    assert 0 < row["gain low"] < row["gain"] < row["gain high"]


def test_wrong_shapes_are_refused(guesses):
    labels, predicted = guesses
    with pytest.raises(UserError, match="do not fit"):
        remedies.table(labels[:-1], predicted)
    with pytest.raises(UserError, match="do not fit"):
        remedies.table(labels, {"none": predicted["none"], "one seed": predicted["none"][:1]})
    with pytest.raises(UserError, match="unknown remedy 'magic'"):
        unequal_classes.train_with("magic", np.zeros((4, 2), np.float32), labels[:4], seed=0, epochs=1)


@pytest.mark.parametrize("remedy", unequal_classes.REMEDIES)
def test_every_remedy_sees_equally_many_pictures(remedy):
    labels = np.repeat(np.arange(7), (400, 20, 100, 300, 50, 60, 70))
    rows = unequal_classes.draw_rows(labels, remedy, np.random.default_rng(0))
    counts = np.bincount(labels[rows], minlength=7)
    assert len(rows) == len(labels)
    if remedy == "oversampling after the split":
        assert counts.max() < 1.5 * counts.min(), "every class equally often"
    else:
        assert sorted(rows) == list(range(len(labels)))


@pytest.fixture(scope="module")
def rare():
    """Features that overlap, with few of "disgust": a network that only wants accuracy ignores it."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, DISGUST], (570, 30))
    features = generator.normal(size=(600, 6)).astype(np.float32)
    features[:, 0] += 1.3 * (labels == DISGUST)
    order = generator.permutation(600)
    return features[order], labels[order]


def test_weights_and_oversampling_raise_the_recall_of_the_rare_class(rare):
    found = unequal_classes.run(rare, rare[0], seeds=(0,), epochs=6, batch_size=32, progress=False)
    rows = remedies.table(rare[1], found).set_index(["remedy", "measure"])["mean"]
    plain = rows["none", "disgust recall"]
    assert plain < 0.2
    for remedy in ("class weights", "oversampling after the split"):
        assert rows[remedy, "disgust recall"] > plain + 0.3, remedy
        assert rows[remedy, "accuracy"] < rows["none", "accuracy"], "which has its price"


def test_same_seed_same_start_and_same_result(rare):
    starts = []

    def build(inputs):
        starts.append(unequal_classes.small_head(inputs))
        # Read before training changes them.
        starts[-1] = (starts[-1], starts[-1].get_weights())
        return starts[-1][0]

    found = [
        unequal_classes.run(
            rare, rare[0], seeds=(5,), epochs=1, remedies=("none", "focal loss"), build=build, progress=False
        )
        for _ in range(2)
    ]
    for remedy in ("none", "focal loss"):
        np.testing.assert_array_equal(found[0][remedy], found[1][remedy])
    for _, weights in starts[1:]:
        for first, other in zip(starts[0][1], weights, strict=True):
            np.testing.assert_array_equal(first, other)


def test_a_network_used_again_learns_as_a_new_one_does(rare):
    """`run` begins its networks anew instead of tracing others: weights, optimizer, rate and dropout."""
    inputs, labels = rare[0][:300], rare[1][:300]
    compared = unequal_classes.run((inputs, labels), inputs, seeds=(4, 5), epochs=2, progress=False)
    for remedy, answers in compared.items():
        for seed, answer in zip((4, 5), answers, strict=True):
            model = unequal_classes.train_with(remedy, inputs, labels, seed=seed, epochs=2)
            np.testing.assert_array_equal(model.predict(inputs, verbose=0).argmax(axis=1), answer)


def test_focal_loss_is_the_one_of_the_paper(rare, monkeypatch):
    """-(1 - p)² log p of the true class, whatever factor stands before it."""
    used = []
    monkeypatch.setattr(keras.Model, "compile", lambda self, optimizer, loss: used.append(loss))
    monkeypatch.setattr(keras.Model, "fit", lambda self, *args, **kwargs: None)
    unequal_classes.train_with("focal loss", *rare, seed=0, epochs=1)
    target, answer = np.eye(7, dtype=np.float32)[:1], np.full((1, 7), 0.1, np.float32)
    answer[0, 0] = 0.4
    assert float(used[0](target, answer)) == pytest.approx(-(0.6**2) * np.log(0.4), rel=1e-4)


def test_scale_of_the_features_is_learned_from_the_fitted_part_alone(rare):
    model = unequal_classes.small_head(rare[0] * 100 + 7)
    scaled = keras.Model(model.input, model.get_layer("scale").output).predict(rare[0] * 100 + 7, verbose=0)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-3)


def test_a_network_of_ones_own_takes_images(tiny_data, tiny_model):
    images, labels = tiny_data
    inputs = images[..., np.newaxis].astype(np.float32)
    found = unequal_classes.run(
        (inputs, labels),
        inputs,
        seeds=(0,),
        epochs=2,
        remedies=("none",),
        progress=False,
        build=lambda inputs: tiny_model(compiled=False),
    )
    assert found["none"].shape == (1, 140)


def test_table_can_be_read_and_drawn(guesses, tmp_path):
    found = remedies.table(*guesses)
    assert remedy_table.readable(found).shape == (2, 4)
    assert " ± " in remedy_table.readable(found).loc["better", "accuracy"]
    assert remedy_table.gains(found).index.tolist() == ["better"]
    assert remedy_table.gains(found).loc["better", "accuracy"].startswith("+")
    plots.remedy_chart(found).savefig(tmp_path / "figure.png")
