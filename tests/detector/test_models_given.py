"""Models as people bring them: what cannot answer is one clear line, before any photo is looked at."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
from helpers import picture
from onnx import TensorProto, helper, numpy_helper

from fer_utils.common.errors import UserError
from fer_utils.detector.detector import EmotionDetector


@pytest.fixture(scope="module")
def keras():
    from fer_utils.models.keras_start import load_keras

    return load_keras()


def one_line(path) -> str:
    with pytest.raises(UserError) as error:
        EmotionDetector(path)
    assert "\n" not in str(error.value) and path.name in str(error.value)
    return str(error.value)


def test_a_model_that_was_never_built(keras, tmp_path):
    layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(7, "softmax")]
    keras.Sequential(layers).save(tmp_path / "unbuilt.keras")
    assert "before it was built: begin it with keras.Input((48, 48, 1))" in one_line(tmp_path / "unbuilt.keras")


def test_weights_that_are_not_numbers(keras, tmp_path, tiny_model):
    model = tiny_model(compiled=False)
    model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
    model.save(tmp_path / "nan.keras")
    assert "not numbers (NaN)" in one_line(tmp_path / "nan.keras")


def test_a_model_with_two_inputs(keras, tmp_path):
    inputs = [keras.Input((48, 48, 1)), keras.Input((48, 48, 1))]
    x = keras.layers.Flatten()(keras.layers.Concatenate()(inputs))
    keras.Model(inputs, keras.layers.Dense(7, "softmax")(x)).save(tmp_path / "two.keras")
    assert "not (n, 48, 48, 1) to (n, 7)" in one_line(tmp_path / "two.keras")


def test_a_softmax_over_the_pictures_instead_of_the_classes(keras, tmp_path):
    layers = [keras.Input((48, 48, 1)), keras.layers.Flatten(), keras.layers.Dense(7), keras.layers.Softmax(axis=0)]
    keras.Sequential(layers).save(tmp_path / "axis.keras")
    assert "no probabilities" in one_line(tmp_path / "axis.keras")


def test_a_folder_says_which_forms_are_read(tmp_path):
    assert "is a folder; read are .keras and .h5 files of Keras 3, and .onnx" in one_line(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert "SavedModel form; read are .keras" in one_line(tmp_path)


def test_a_model_in_the_older_form_of_keras(keras, tmp_path, tiny_model):
    model = tiny_model(compiled=False)
    model.save(tmp_path / "m.h5")
    given, saved = EmotionDetector(model)(picture(1)), EmotionDetector(tmp_path / "m.h5")(picture(1))
    np.testing.assert_allclose(given[0].probabilities, saved[0].probabilities, atol=1e-6)
    (tmp_path / "old.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert "read are .keras and .h5 files of Keras 3" in one_line(tmp_path / "old.h5")


def small_onnx(path, at_once, weights=None):
    """Write a network that looks at the mean of a picture, for so many pictures at a time."""
    weights = np.linspace(0, 0.02, 7, dtype=np.float32)[np.newaxis] if weights is None else weights
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"], axis=-1),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [at_once, 48, 48, 1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [at_once, 7])
    graph = helper.make_graph(nodes, "small", [x], [y], [numpy_helper.from_array(weights, "weights")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def test_an_onnx_model_for_one_picture_at_a_time_answers_as_any_other(tmp_path):
    for at_once in ("n", 1):
        small_onnx(tmp_path / f"{at_once}.onnx", at_once)
    images = np.stack([picture(i) for i in range(5)])
    one, many = (EmotionDetector(tmp_path / f"{name}.onnx").predict(images) for name in ("1", "n"))
    np.testing.assert_allclose(one, many, atol=1e-6)
    small_onnx(tmp_path / "four.onnx", 4)
    assert "cannot answer for two pictures" in one_line(tmp_path / "four.onnx")
    small_onnx(tmp_path / "nan.onnx", "n", np.full((1, 7), np.nan, np.float32))
    assert "not numbers (NaN)" in one_line(tmp_path / "nan.onnx")


LOADED = (
    "from fer_utils.models.keras_start import load_keras; from fer_utils.common.errors import UserError\n"
    "try: keras = load_keras(); print(keras.config.floatx(), keras.config.image_data_format())\n"
    "except UserError as error: print('one line:', error)"
)


@pytest.mark.parametrize(
    ("settings", "printed"),
    [
        ({"floatx": "float16", "image_data_format": "channels_first"}, "float32 channels_last"),
        ({"backend": "theano"}, "one line: Keras cannot start as it is set .*theano.*keras.json, or install .*"),
    ],
)
def test_the_users_own_settings_of_keras(tmp_path, settings, printed):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    kept = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", LOADED], env=kept | {"KERAS_HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert re.fullmatch(printed, done.stdout.strip()) and done.stderr == ""
