"""What ships answers as the trained network does: folding, half precision and ONNX change nothing that counts."""

import json

import numpy as np
import pytest

from fer_utils.common.errors import UserError
from fer_utils.common.probabilities import mirror_averaged, with_temperature
from fer_utils.detector.shipped import ShippedModel
from fer_utils.models.compact_cnn import load_shipped

NETWORK = {"stem": 8, "widths": [8, 16], "blocks": 2, "dropout": 0.3}
BIAS = [0.3, 0.0, -0.2, 0.1, 0.0, -0.3, 0.1]


@pytest.fixture(scope="module")
def faces():
    return np.random.default_rng(0).integers(0, 256, (5, 48, 48)).astype("uint8")


@pytest.fixture(scope="module")
def trained():
    """A network whose normalisation has seen something: fresh layers would fold into nothing."""
    import keras

    from fer_utils.models.compact_cnn import compact_cnn

    keras.utils.set_random_seed(0)
    model = compact_cnn(**NETWORK)
    draw = np.random.default_rng(1)
    for layer in model.layers:
        if layer.name.endswith("_norm"):
            layer.set_weights([draw.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    from fer_utils.models.compact_cnn import compact_cnn
    from workshop.model.export import calibrated_weights, folded_weights, save_compact

    plain = compact_cnn(**NETWORK, normalisation=False)
    plain.set_weights(calibrated_weights(folded_weights(trained, plain), 1.7, BIAS))
    folder = tmp_path_factory.mktemp("compact")
    save_compact(folder, plain, {"network": NETWORK, "temperature": 1.7, "bias": BIAS})
    return folder


def test_folding_the_normalisation_changes_no_answer(trained, faces):
    from fer_utils.models.compact_cnn import compact_cnn
    from workshop.model.export import folded_weights

    plain = compact_cnn(**NETWORK, normalisation=False)
    plain.set_weights(folded_weights(trained, plain))
    x = faces[..., None].astype("float32")
    assert np.allclose(plain.predict(x, verbose=0), trained.predict(x, verbose=0), atol=1e-5)
    assert not any(layer.name.endswith("_norm") for layer in plain.layers)


def test_a_folded_network_gets_its_normalisation_back_without_changing_its_answers(saved, trained, faces):
    from fer_utils.models.compact_cnn import compact_cnn
    from workshop.model.start import unfolded_weights

    network = compact_cnn(**NETWORK)
    plain = load_shipped(saved / "compact.npz")
    network.set_weights(unfolded_weights(plain, network, faces, {"temperature": 1.7, "bias": BIAS}))
    x = faces[..., None].astype("float32")
    # Half precision was lost on the way, no more.
    assert np.allclose(network.predict(x, verbose=0), trained.predict(x, verbose=0), atol=2e-3)
    # With the running statistics of these very pictures, a training pass normalises by the same numbers.
    inside = network.get_layer("stem_conv").output
    import keras

    stem = keras.ops.convert_to_numpy(keras.Model(network.inputs, inside)(x))
    norm = network.get_layer("stem_norm")
    assert np.allclose(keras.ops.convert_to_numpy(norm.moving_mean), stem.mean(axis=(0, 1, 2)), atol=1e-3)
    assert np.allclose(keras.ops.convert_to_numpy(norm.moving_variance), stem.var(axis=(0, 1, 2)), rtol=1e-2)


def test_keras_and_onnx_runtime_agree(saved, faces):
    keras_answer = load_shipped(saved / "compact.npz").predict(faces[..., None], verbose=0)
    onnx_answer = ShippedModel(saved / "compact.onnx").predict_once(faces)
    assert keras_answer.std(axis=0).max() > 1e-3
    assert np.abs(keras_answer - onnx_answer).max() < 1e-4


def test_temperature_and_bias_are_part_of_the_weights(saved, trained, faces):
    raw = trained.predict(faces[..., None], verbose=0)
    shipped = ShippedModel(saved / "compact.onnx").predict_once(faces)
    assert np.allclose(shipped, with_temperature(raw, 1.7, BIAS), atol=2e-3)
    assert not np.allclose(shipped, raw, atol=2e-3)
    assert not np.allclose(shipped, with_temperature(raw, 1.7), atol=2e-3)


def test_a_foreign_model_may_call_its_input_as_it_likes_but_has_one_of_floats(saved, faces, tmp_path):
    import onnx

    model = onnx.load(saved / "compact.onnx")
    for node in model.graph.node:
        node.input[:] = ["x" if name == "image" else name for name in node.input]
    model.graph.input[0].name = "x"
    onnx.save(model, tmp_path / "foreign.onnx")
    answer = ShippedModel(tmp_path / "foreign.onnx").predict_once(faces)
    assert np.array_equal(answer, ShippedModel(saved / "compact.onnx").predict_once(faces))
    model.graph.input.append(onnx.helper.make_tensor_value_info("age", onnx.TensorProto.FLOAT, [1]))
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match="wants x: tensor.float., age: tensor.float."):
        ShippedModel(tmp_path / "foreign.onnx")


def test_a_face_and_its_mirror_image_get_the_same_answer(saved, faces):
    model = ShippedModel(saved / "compact.onnx")
    assert np.allclose(model.predict(faces), model.predict(faces[:, :, ::-1]), atol=1e-6)
    once = model.predict_once(faces), model.predict_once(faces[:, :, ::-1])
    assert np.allclose(model.predict(faces), mirror_averaged(*once), atol=1e-6)
    assert model.predict(faces[:0]).shape == (0, 7)


def test_both_files_say_what_they_are_and_do_not_change_from_one_time_to_the_next(saved, tmp_path):
    from workshop.model.export import save_compact

    assert ShippedModel(saved / "compact.onnx").about["temperature"] == 1.7
    about = {"network": NETWORK, "temperature": 1.7, "bias": BIAS}
    again = save_compact(tmp_path, load_shipped(saved / "compact.npz"), about)
    assert [path.read_bytes() for path in again] == [(saved / path.name).read_bytes() for path in again]
    with np.load(saved / "compact.npz") as stored:
        assert json.loads(stored["about"].tobytes())["network"] == NETWORK


@pytest.mark.parametrize("load", [ShippedModel, load_shipped])
def test_a_missing_or_wrong_file_is_one_clear_line(load, tmp_path):
    with pytest.raises(UserError, match="no such model"):
        load(tmp_path / "nothing")
    (tmp_path / "wrong").write_bytes(b"wrong")
    with pytest.raises(UserError, match="wrong") as error:
        load(tmp_path / "wrong")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["cut off", "a wrong byte", "weights missing"])
def test_damaged_weights_are_one_clear_line(damage, saved, tmp_path):
    whole = (saved / "compact.npz").read_bytes()
    path = tmp_path / "compact.npz"
    if damage == "weights missing":
        with np.load(saved / "compact.npz") as stored:
            np.savez(path, **{name: stored[name] for name in stored.files[:3]})
    else:
        changed = bytearray(whole)
        changed[len(whole) // 2] ^= 255
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut off" else bytes(changed))
    with pytest.raises(UserError, match="does not hold a compact model") as error:
        load_shipped(path)
    assert "\n" not in str(error.value)
