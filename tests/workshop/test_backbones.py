"""The workshop of the shipped backbones: what is folded, trained, packed and read again stays the same network."""

import json

import numpy as np
import pytest

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS
from fer_utils.common.paths import project_root
from fer_utils.common.stored_weights import assets
from fer_utils.dataset import load_dataset
from fer_utils.models.face_weights import about_faces, load_faces, weights_file
from fer_utils.models.keras_start import load_keras
from fer_utils.models.predict import predict

keras = load_keras()

from workshop.backbones import card, networks, train  # noqa: E402
from workshop.backbones.finish import as_classifier, finish, write_faces  # noqa: E402


@pytest.fixture(autouse=True)
def float32():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="module")
def faces():
    return load_dataset("sample", progress=False, cache=False).images[:24]


@pytest.fixture
def narrow(monkeypatch):
    """Let VGG16 have few filters, so that a test takes seconds: in the workshop and in keras.applications."""
    blocks = tuple((4 + block, count) for block, (_, count) in enumerate(networks.VGG16_BLOCKS))

    def vgg16(include_top, weights, input_shape):
        x = inputs = keras.Input(input_shape)
        for block, (filters, count) in enumerate(blocks, start=1):
            for position in range(1, count + 1):
                name = f"block{block}_conv{position}"
                x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)
            x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
        return keras.Model(inputs, x, name="vgg16")

    monkeypatch.setattr(networks, "VGG16_BLOCKS", blocks)
    monkeypatch.setattr(keras.applications, "VGG16", vgg16)


def unsettled(model):
    """Give every normalisation statistics and factors of its own, as a training would."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            sizes = [weight.shape for weight in layer.get_weights()]
            layer.set_weights([generator.uniform(0.5, 1.5, size) for size in sizes])
    return model


def head_of(model):
    return model.get_layer("probabilities").get_weights()


def test_the_names_and_shapes_are_those_of_keras_applications():
    ours = networks.trainable_network("VGG16")
    theirs = keras.applications.VGG16(include_top=False, weights=None, input_shape=(48, 48, 3))
    for layer in theirs.layers[1:]:
        found = ours.get_layer(layer.name)
        assert [w.shape for w in found.weights] == [w.shape for w in layer.weights], layer.name


def test_folding_the_normalisation_changes_no_answer(narrow, faces):
    trained = unsettled(networks.trainable_network("VGG16", 48))
    plain = as_classifier("VGG16", networks.plain_backbone("VGG16", trained), head_of(trained))
    np.testing.assert_allclose(predict(plain, faces), predict(trained, faces), atol=1e-5)


@pytest.mark.workshop
def test_resnet_keeps_its_normalisation(faces):
    trained = unsettled(networks.trainable_network("ResNet50V2", 48))
    plain = as_classifier("ResNet50V2", networks.plain_backbone("ResNet50V2", trained), head_of(trained))
    np.testing.assert_allclose(predict(plain, faces[:4]), predict(trained, faces[:4]), atol=1e-5)


def test_what_is_packed_is_read_again_within_six_bits(narrow, tmp_path):
    trained = unsettled(networks.trainable_network("VGG16", 48))
    backbone, again = (networks.plain_backbone("VGG16", trained) for _ in range(2))
    size = write_faces("VGG16", backbone, {"seed": 5}, tmp_path)
    assert about_faces("VGG16", tmp_path)["seed"] == 5
    again.set_weights([np.zeros_like(weight) for weight in again.get_weights()])
    load_faces(again, "VGG16", tmp_path)
    for before, after in zip(backbone.get_weights(), again.get_weights(), strict=True):
        step = np.abs(before).max() / 31 if before.ndim == 4 else np.abs(before).max() / 1000
        assert np.abs(before - after).max() <= 0.51 * step + 1e-6
    assert size < 3 * backbone.count_params() + 20_000


@pytest.mark.workshop
def test_a_run_goes_on_is_recorded_and_leaves_the_weights(narrow, tmp_path, monkeypatch):
    dataset = load_dataset("sample", progress=False, cache=False)
    images, labels = dataset.subset("Training")
    answers = np.full((len(images), len(EMOTIONS)), 1 / 7, np.float32)
    monkeypatch.setattr(train.ShippedModel, "predict_once", lambda self, images: answers[: len(images)])
    plan = train.Plan(steps=6, batch_size=16, warmup=2, dtype="float32")
    train.Run(tmp_path / "run", images[:600], labels[:600], plan).train(save_every=3, show_progress=False)
    again = train.Run(tmp_path / "run", images[:600], labels[:600], plan)
    assert again.step == 6
    assert again.batch_arguments(4)[1] == 48 and again.batch_arguments(1)[1] == plan.window
    lines = finish(again, dataset, tmp_path / "assets")
    kept = json.loads((tmp_path / "run" / "05_vgg16" / "metrics.json").read_text())
    assert kept["scores"]["PublicTest"]["n"] == 350 and kept["settings"]["teacher"] == "shipped"
    assert "as it ships, PublicTest" in "\n".join(lines)
    known = about_faces("VGG16", tmp_path / "assets")
    assert known["scores"]["PublicTest"]["n"] == 350 and known["n_training"] == len(again.labels)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="no weights of VGG16 ship"):
        about_faces("VGG16", tmp_path)


@pytest.mark.parametrize("architecture", card.MODELS)
def test_what_ships_is_as_good_as_what_was_trained(architecture):
    scores = card.trained_record(card.MODELS[architecture])["scores"]
    packed = about_faces(architecture)["scores"]["PublicTest"]
    assert packed["n"] == scores["PublicTest"]["n"] == 3589
    assert packed["accuracy"] >= scores["PublicTest"]["accuracy"] - 0.01


def test_what_ships_is_small():
    assert sum((assets() / weights_file(name)).stat().st_size for name in card.MODELS) < 30e6


def test_the_card_shows_the_figures_as_they_are_now():
    page = (project_root() / "docs" / "backbones.md").read_text(encoding="utf-8")
    assert card.figures() in page, "run 'python -m workshop.backbones card'"
