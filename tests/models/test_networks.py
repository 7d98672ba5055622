"""Every network answers the same call."""

import hashlib
import http.server
import sys
import threading
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import fer_utils.models.face_weights  # noqa: F401
import fer_utils.models.transfer  # noqa: F401
from fer_utils import models
from fer_utils.common.errors import UserError
from fer_utils.models.keras_start import load_keras

keras = load_keras()


@pytest.fixture(scope="module")
def vgg16():
    return models.load_backbone("VGG16", 48, "random")[0]


@pytest.fixture(scope="module")
def resnet():
    return models.load_backbone("ResNet50V2", 48, "random")[0]


def check_answer(model):
    assert model.input_shape == (None, 48, 48, 1) and model.output_shape == (None, 7)
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 1)).astype(np.uint8)
    answer = model.predict(images, verbose=0)
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-4)


def test_custom_cnn_is_the_designed_network():
    model = models.custom_cnn()
    check_answer(model)
    assert model.count_params() == 22_813_703
    filters = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [32, 64, 128, 256, 512, 512]
    penalised = [layer.name for layer in model.layers if getattr(layer, "kernel_regularizer", None)]
    assert penalised == ["block2_conv1", "block2_conv2"]


def test_a_narrow_custom_cnn_has_the_same_layers_with_fewer_filters():
    model, whole = models.custom_cnn(width=0.25), models.custom_cnn()
    check_answer(model)
    assert [layer.name for layer in model.layers] == [layer.name for layer in whole.layers]
    filters = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [8, 16, 32, 64, 128, 128] and model.get_layer("dense").units == 256
    with pytest.raises(UserError, match="leaves no filter"):
        models.custom_cnn(width=0.01)


def test_dropout_of_the_custom_cnn_can_be_chosen_for_blocks_and_head():
    layers = models.custom_cnn(width=0.25, dropout=0.1, head_dropout=0.3).layers
    assert [layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)] == [0.1, 0.1, 0.1, 0.3]


def test_vgg16_takes_the_same_call(vgg16):
    model = models.vgg16_classifier(vgg16, 48)
    check_answer(model)
    assert vgg16.count_params() == 14_714_688


def test_resnet_takes_the_same_call_and_has_the_designed_head(resnet):
    model = models.resnet50_classifier(resnet, 48)
    check_answer(model)
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [512, 256, 128, 7]


@pytest.mark.parametrize("architecture, module", [("VGG16", "vgg16"), ("ResNet50V2", "resnet_v2")])
def test_preprocessing_layer_equals_keras_own(architecture, module):
    face = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype("float32")
    inputs = keras.Input((48, 48, 1))
    ours = keras.Model(inputs, models.as_backbone_input(inputs, architecture, 48)).predict(face, verbose=0)
    theirs = getattr(keras.applications, module).preprocess_input(np.repeat(face, 3, axis=-1))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_enlarging_reaches_the_size_asked():
    inputs = keras.Input((48, 48, 1))
    assert models.as_backbone_input(inputs, "VGG16", 96).shape == (None, 96, 96, 3)


def test_weights_file_is_loaded(tmp_path, vgg16):
    path = tmp_path / "vgg16.weights.h5"
    vgg16.save_weights(path)
    again, weights = models.load_backbone("VGG16", 48, str(path))
    assert weights.kind == "file" and "vgg16.weights.h5" in weights.message
    for ours, theirs in zip(again.get_weights(), vgg16.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_file_that_is_missing_or_does_not_fit(tmp_path, vgg16):
    with pytest.raises(UserError, match="no such weights file"):
        models.load_backbone("VGG16", 48, str(tmp_path / "x.weights.h5"))
    path = tmp_path / "vgg16.weights.h5"
    vgg16.save_weights(path)
    with pytest.raises(UserError, match="does not fit ResNet50V2"):
        models.load_backbone("ResNet50V2", 48, str(path))


class Server:
    """Stands in for where Keras downloads from; `way` says how it answers: "whole", "cut", "damaged" or "silent"."""

    def __init__(self, content: bytes):
        self.content, self.way, self.asked, self.over = content, "whole", 0, threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked += 1
                if server.way == "silent":
                    server.over.wait(10)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(server.content)))
                self.end_headers()
                # A megabyte before its end, or with its last byte another one.
                whole = memoryview(server.content)
                self.wfile.write(whole[: -(2**20)] if server.way == "cut" else whole[:-1])
                if server.way != "cut":
                    self.wfile.write(b"\0" if server.way == "damaged" else whole[-1:])

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}/weights.h5"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.over.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(scope="module")
def imagenet_file(vgg16, tmp_path_factory):
    """A file as Keras keeps ImageNet weights, with every number of the n-th weight n hundredths."""
    path = tmp_path_factory.mktemp("imagenet") / "vgg16.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name for layer in vgg16.layers]
        value = 0
        for layer in vgg16.layers:
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = [f"{layer.name}/{weight.name}" for weight in layer.weights]
            for weight in layer.weights:
                group[f"{layer.name}/{weight.name}"] = np.full(weight.shape, value / 100, np.float32)
                value += 1
        # Nothing that is read, so that a file whose last byte is another one still opens.
        file["rest"] = np.ones(2**20, np.uint8)
    return path


@pytest.fixture
def served(imagenet_file, tmp_path, monkeypatch):
    """Keras's own downloading, into a folder of the test, from a server of the test that holds a stand-in."""
    server = Server(imagenet_file.read_bytes())
    get_file = keras.utils.get_file
    module = sys.modules[keras.applications.VGG16.__module__]

    def from_server(name, origin, cache_subdir, file_hash):
        assert "imagenet" not in name and name.endswith("_notop.h5") and origin.endswith(name)
        checksum = hashlib.md5(imagenet_file.read_bytes()).hexdigest()
        return get_file(name, server.address, cache_subdir="models", cache_dir=tmp_path, file_hash=checksum)

    monkeypatch.setattr(module.file_utils, "get_file", from_server)
    server.kept = tmp_path / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    yield server
    server.close()


@pytest.fixture
def faces(monkeypatch):
    """Stands in for the weights that ship: every number of VGG16 becomes 5."""

    def load(model, architecture):
        model.set_weights([np.full(weight.shape, 5.0) for weight in model.weights])

    monkeypatch.setattr(sys.modules["fer_utils.models.transfer"], "load_faces", load)


SAMPLE, FER2013 = SimpleNamespace(is_sample=True), SimpleNamespace(is_sample=False)


def first_numbers(model):
    return [weight.ravel()[0].round(2) for weight in model.get_weights()[:3]]


def test_imagenet_weights_are_downloaded_once_and_then_found(served, capsys):
    for _ in range(2):
        model, weights = models.load_backbone("VGG16", 48, "imagenet", SAMPLE)
        assert weights.kind == "imagenet" and "ImageNet" in weights.message
        assert first_numbers(model) == pytest.approx([0, 0.01, 0.02])
        assert model.input_shape == (None, 48, 48, 3)
    assert served.asked == 1
    assert served.address not in capsys.readouterr().out, "no address reaches the notebook"


@pytest.mark.parametrize("way", ["cut", "damaged", "silent", "closed"])
def test_a_download_that_fails_is_said_and_never_used(served, faces, monkeypatch, capsys, way):
    if way == "silent":
        monkeypatch.setattr(sys.modules["fer_utils.models.transfer"], "SECONDS_FOR_A_REPLY", 0.3)
    served.way = way
    if way == "closed":
        served.close()
    model, weights = models.load_backbone("VGG16", 48, "imagenet", SAMPLE)
    assert weights.kind == "faces" and first_numbers(model) == [5, 5, 5]
    assert "ImageNet weights of VGG16 are not on this machine and could not be downloaded" in weights.message
    assert "other pictures of the same task, not from ImageNet" in weights.message
    model, weights = models.load_backbone("VGG16", 48, "imagenet", FER2013)
    assert weights.kind == "random" and 5 not in first_numbers(model)
    assert "have seen your validation part" in weights.message and "not a transfer result" in weights.message
    assert served.address not in capsys.readouterr().out, "no address reaches the notebook"
    if way != "closed":
        served.way = "whole"
        monkeypatch.setattr(sys.modules["fer_utils.models.transfer"], "SECONDS_FOR_A_REPLY", 20)
        assert models.load_backbone("VGG16", 48, "imagenet", SAMPLE)[1].kind == "imagenet"


def test_a_file_that_an_interrupted_download_left_is_not_loaded(served, faces):
    """Keras removes what it could not finish; a kernel killed meanwhile leaves it."""
    served.kept.parent.mkdir()
    served.kept.write_bytes(served.content[: len(served.content) // 2])
    served.way = "cut"
    assert models.load_backbone("VGG16", 48, "imagenet", SAMPLE)[1].kind == "faces"
    served.kept.write_bytes(served.content[: len(served.content) // 2])
    served.way = "whole"
    model, weights = models.load_backbone("VGG16", 48, "imagenet", SAMPLE)
    assert weights.kind == "imagenet" and first_numbers(model) == pytest.approx([0, 0.01, 0.02])
    assert served.kept.stat().st_size == len(served.content)


def test_without_imagenet_and_without_the_weights_that_ship_it_starts_from_random_ones(served, monkeypatch, tmp_path):
    monkeypatch.setattr(sys.modules["fer_utils.models.face_weights"], "assets", lambda: tmp_path)
    served.close()
    _, weights = models.load_backbone("VGG16", 48, "imagenet", SAMPLE)
    assert weights.kind == "random" and "not a transfer result" in weights.message
    assert "no weights of VGG16 ship with the project" in weights.message
    with pytest.raises(UserError, match="no weights of VGG16 ship with the project"):
        models.load_backbone("VGG16", 48, "faces", SAMPLE)


def test_face_weights_are_for_the_sample_only(faces):
    model, weights = models.load_backbone("VGG16", 48, "faces", SAMPLE)
    assert weights.kind == "faces" and first_numbers(model) == [5, 5, 5]
    assert "not on this machine" not in weights.message, "they were asked for"
    with pytest.raises(UserError, match="learned from FER-2013's Training part, the pictures of your validation part"):
        models.load_backbone("VGG16", 48, "faces", FER2013)


def test_random_weights_need_no_network(served):
    _, weights = models.load_backbone("VGG16", 48, "random", FER2013)
    assert weights.kind == "random" and "as asked" in weights.message and served.asked == 0
