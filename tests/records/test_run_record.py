"""Records hold everything, and tables never mix what does not compare."""

import json

import numpy as np
import pytest
from helpers import write_zip

from fer_utils import evaluation, models, records, training
from fer_utils.dataset import load_dataset


@pytest.fixture
def record(tmp_path, files, tiny_data, tiny_model):
    """A function that trains, scores and records a run."""
    dataset = load_dataset(write_zip(tmp_path / "a.zip", files), progress=False)
    images, labels = tiny_data

    def make(name="run", is_sample=False, seed=0, mirrored=False):
        parts = ((images, labels), (images[:28], labels[:28]))
        run = training.train(tiny_model(), *parts, name=name, output_dir=tmp_path / "out", epochs=2, seed=seed)
        probabilities = models.predict(run.model, images)
        scores = [evaluation.score(labels, probabilities, split) for split in ("validation", "PublicTest")]
        object.__setattr__(dataset, "is_sample", is_sample)
        about = dict(title=f"Model {name}", run=run, dataset=dataset, scores=scores, settings={"seed": 0})
        return records.record(**about, mirrored=scores[1:] if mirrored else None)

    return make


def test_record_is_what_is_on_disk(record, tmp_path):
    content = record()
    assert json.loads((tmp_path / "out" / "run" / "metrics.json").read_text()) == content
    assert content["scores"]["PublicTest"]["n"] == 140
    assert content["epochs"] == 2 and content["best_epoch"] in (1, 2)
    assert len(content["history"]["val_accuracy"]) == 2
    assert content["data"]["counts"]["Training"]["fear"] == 5
    assert content["environment"]["versions"]["keras"]


def test_answers_averaged_with_the_mirror_image_are_scored_apart(record):
    assert "mirrored" not in record()
    content = record("other", mirrored=True, seed=1)
    assert set(content["mirrored"]) == {"PublicTest"} and set(content["scores"]) == {"validation", "PublicTest"}


def test_no_absolute_path_in_a_record(record, tmp_path):
    assert str(tmp_path) not in json.dumps(record())


def test_comparison_follows_the_series_and_carries_n_and_interval(record, tmp_path):
    for seed, name in enumerate(("other", "06_resnet50v2", "04_with_augmentation", "03_custom_cnn")):
        record(name, seed=seed)
    table = records.comparison(records.load_results(tmp_path / "out"))
    assert table["model"].tolist() == [
        "Model 03_custom_cnn",
        "Model 04_with_augmentation",
        "Model 06_resnet50v2",
        "Model other",
    ]
    assert (table["low"] < table["accuracy"]).all() and (table["n"] == 140).all()
    assert table["training"].isna().all() and table["validation"].between(0, 1).all()


def test_both_test_parts_are_scored_as_one(record, tmp_path):
    content = record("03_custom_cnn")
    first, second = content["scores"]["PublicTest"], evaluation.score(np.arange(7), np.eye(7), "PrivateTest")
    content["scores"]["PrivateTest"] = second
    together = records.comparison([content], evaluation.TOGETHER).iloc[0]
    right = first["accuracy"] * 140 + 7
    assert together["n"] == 147 and together["accuracy"] == pytest.approx(right / 147)
    matrix = np.array(first["confusion_matrix"]) + second["confusion_matrix"]
    labels, predicted = (np.repeat(side, matrix.ravel()) for side in np.divmod(np.arange(49), 7))
    whole = evaluation.score(labels, np.eye(7)[predicted], "both")
    assert together["macro-F1"] == pytest.approx(whole["macro_f1"])
    assert [together["low"], together["high"]] == pytest.approx(whole["accuracy_ci95"])
    # Where there is one part only, that one is the test part.
    assert records.comparison([record("one", seed=1)], evaluation.TOGETHER)["n"].tolist() == [140]


def test_results_of_other_data_are_left_out(record, tmp_path):
    fingerprint = record("one")["data"]["fingerprint"]
    assert len(records.load_results(tmp_path / "out", fingerprint)) == 1
    assert records.load_results(tmp_path / "out", "0" * 16) == []


def test_a_training_that_was_taken_over_is_listed_once(record, tmp_path):
    record("one"), record("two"), record("three", seed=1)
    assert [result["name"] for result in records.load_results(tmp_path / "out")] == ["one", "three"]


def test_sample_and_fer2013_do_not_mix(record, tmp_path):
    record("one"), record("two", is_sample=True, seed=1)
    with pytest.raises(ValueError, match="do not belong in one table"):
        records.comparison(records.load_results(tmp_path / "out"))


def test_missing_split_and_damaged_record_are_left_out(record, tmp_path):
    record()
    (tmp_path / "out" / "other").mkdir()
    (tmp_path / "out" / "other" / "metrics.json").write_text("{")
    assert len(records.load_results(tmp_path / "out")) == 1
    assert len(records.comparison(records.load_results(tmp_path / "out"), "PrivateTest")) == 0
    assert np.isfinite(records.comparison(records.load_results(tmp_path / "out"))["accuracy"]).all()


def test_table_is_shown_in_percent(record, tmp_path):
    record()
    html = records.styled(records.comparison(records.load_results(tmp_path / "out")))._repr_html_()
    assert html.count("%") >= 3 and "140" in html and "PublicTest" in html
    assert "col0" not in records.styled(records.comparison([]))._repr_html_()


def test_predictions_are_kept_beside_the_record(record, tmp_path):
    found = [record("03_custom_cnn"), record("other", seed=1)]
    assert records.load_predictions(tmp_path / "out", found) == {}
    for name in ("03_custom_cnn", "other"):
        np.savez(tmp_path / "out" / name / "predictions.npz", PublicTest=np.eye(7), PrivateTest=np.zeros((2, 7)))
    kept = records.load_predictions(tmp_path / "out", found)
    # Only the series' own, by the title of its model.
    assert list(kept) == ["Custom CNN"]
    np.testing.assert_array_equal(kept["Custom CNN"], np.eye(7))
    together = records.load_predictions(tmp_path / "out", found, evaluation.TOGETHER)["Custom CNN"]
    np.testing.assert_array_equal(together, np.concatenate([np.eye(7), np.zeros((2, 7))]))
