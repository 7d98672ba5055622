"""Every network answers the same call."""

import sys

import numpy as np
import pytest

from fer_utils import models
from fer_utils.errors import UserError
from fer_utils.quiet import load_keras

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


def test_imagenet_weights_are_asked_for_and_said(monkeypatch):
    asked = []

    def stand_in(include_top, weights, input_shape):
        asked.append((include_top, weights, input_shape))
        return "model"

    monkeypatch.setattr(keras.applications, "VGG16", stand_in)
    model, weights = models.load_backbone("VGG16", 64)
    assert model == "model" and weights.kind == "imagenet"
    assert asked == [(False, "imagenet", (64, 64, 3))]


def test_offline_falls_back_to_random_and_says_that_it_is_no_transfer(monkeypatch, capsys):
    build = keras.applications.VGG16

    def offline(include_top, weights, input_shape):
        if weights == "imagenet":
            sys.stdout.write("Downloading data from somewhere\n")
            raise Exception("URL fetch failure")
        return build(include_top=include_top, weights=weights, input_shape=input_shape)

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    model, weights = models.load_backbone("VGG16", 48)
    assert model.count_params() == 14_714_688
    assert weights.kind == "random" and "not a transfer result" in weights.message
    assert capsys.readouterr().out == "", "no address reaches the notebook"
