"""The model in the package is the one that was recorded, in both its files, and starts without Keras."""

import json
import subprocess
import sys

import numpy as np
import pytest

from fer_utils import records
from fer_utils.common.stored_weights import assets
from fer_utils.dataset import load_dataset
from fer_utils.detector.shipped import ShippedModel
from fer_utils.evaluation.scores import score
from fer_utils.models.compact_cnn import load_shipped


@pytest.fixture(scope="module")
def faces():
    return load_dataset("sample", progress=False).subset("PublicTest")[0][:40]


def test_both_files_are_small_enough_to_ship():
    sizes = {name: (assets() / name).stat().st_size for name in ("compact.onnx", "compact.npz")}
    assert all(1e5 < size <= 6e6 for size in sizes.values()), sizes


def test_keras_and_onnx_runtime_give_the_same_answers(faces):
    by_keras = load_shipped().predict(faces[..., None], verbose=0)
    by_onnx = ShippedModel().predict_once(faces)
    assert np.abs(by_keras - by_onnx).max() < 1e-4


def test_one_face_alone_is_answered_as_in_a_batch(faces):
    model = ShippedModel()
    assert np.allclose(model.predict(faces[:1]), model.predict(faces)[:1], atol=1e-5)


def test_it_predicts_without_keras_or_tensorflow():
    code = (
        "import sys, numpy as np\n"
        "from fer_utils.detector.shipped import ShippedModel\n"
        "ShippedModel().predict(np.zeros((1, 48, 48), np.uint8))\n"
        "print({'keras', 'tensorflow', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_shipped_files_are_those_of_a_recorded_run():
    about = ShippedModel().about
    record = records.reference("compact")
    assert about["data_fingerprint"] == record["data"]["fingerprint"]
    assert (about["seed"], about["steps"]) == (record["settings"]["seed"], record["settings"]["steps"])
    with np.load(assets() / "compact.npz") as stored:
        assert json.loads(stored["about"].tobytes()) == about


@pytest.mark.fer2013
def test_its_recorded_score_holds(fer2013):
    known = records.reference("compact")["scores"]["PublicTest"]
    images, labels = load_dataset(fer2013, progress=False).subset("PublicTest")
    measured = score(labels, ShippedModel().predict(images), "PublicTest")
    # Another processor may round differently and turn a handful of faces.
    assert measured["n"] == known["n"] and abs(measured["accuracy"] - known["accuracy"]) < 0.003
    assert measured["ece"] <= 0.05
