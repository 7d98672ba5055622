"""Records hold everything, and tables never mix what does not compare."""

import json

import numpy as np
import pytest
from helpers import write_zip

from fer_utils import evaluation, results, training
from fer_utils.dataset import load_dataset


@pytest.fixture
def record(tmp_path, files, tiny_data, tiny_model):
    """A function that trains, scores and records a run."""
    dataset = load_dataset(write_zip(tmp_path / "a.zip", files), progress=False)
    images, labels = tiny_data

    def make(name="run", is_sample=False, seed=0, mirrored=False):
        parts = ((images, labels), (images[:28], labels[:28]))
        run = training.train(tiny_model(), *parts, name=name, output_dir=tmp_path / "out", epochs=2, seed=seed)
        probabilities = evaluation.predict(run.model, images)
        scores = [evaluation.score(labels, probabilities, split) for split in ("validation", "PublicTest")]
        object.__setattr__(dataset, "is_sample", is_sample)
        about = dict(title=f"Model {name}", run=run, dataset=dataset, scores=scores, settings={"seed": 0})
        return results.record(**about, mirrored=scores[1:] if mirrored else None)

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


def test_comparison_is_sorted_and_carries_n_and_interval(record, tmp_path):
    record("one"), record("two", seed=1)
    table = results.comparison(results.load_results(tmp_path / "out"))
    assert set(table["model"]) == {"Model one", "Model two"}
    assert table["accuracy"].is_monotonic_decreasing
    assert (table["low"] < table["accuracy"]).all() and (table["n"] == 140).all()


def test_a_training_that_was_taken_over_is_listed_once(record, tmp_path):
    record("one"), record("two"), record("three", seed=1)
    assert [result["name"] for result in results.load_results(tmp_path / "out")] == ["one", "three"]


def test_sample_and_fer2013_do_not_mix(record, tmp_path):
    record("one"), record("two", is_sample=True, seed=1)
    with pytest.raises(ValueError, match="do not belong in one table"):
        results.comparison(results.load_results(tmp_path / "out"))


def test_missing_split_and_damaged_record_are_left_out(record, tmp_path):
    record()
    (tmp_path / "out" / "other").mkdir()
    (tmp_path / "out" / "other" / "metrics.json").write_text("{")
    assert len(results.load_results(tmp_path / "out")) == 1
    assert len(results.comparison(results.load_results(tmp_path / "out"), "PrivateTest")) == 0
    assert np.isfinite(results.comparison(results.load_results(tmp_path / "out"))["accuracy"]).all()


def test_table_is_shown_in_percent(record, tmp_path):
    record()
    html = results.styled(results.comparison(results.load_results(tmp_path / "out"))).to_html()
    assert "%" in html and "140" in html


def test_predictions_are_kept_beside_the_record(record, tmp_path, tiny_data, tiny_model):
    result = record("one")
    assert results.load_predictions(tmp_path / "out", [result]) == {}
    np.savez(tmp_path / "out" / "one" / "predictions.npz", PublicTest=np.eye(7))
    found = results.load_predictions(tmp_path / "out", [result])
    np.testing.assert_array_equal(found["Model one"], np.eye(7))
