"""Heat maps point at what decides, follow the weights, and leave the model alone."""

import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import fer_utils.explanation.grad_cam  # noqa: F401
from fer_utils import explanation, models, plots
from fer_utils.common.errors import UserError
from fer_utils.models.keras_start import load_keras

keras = load_keras()
layers = keras.layers

BRIGHT, DARK = (slice(12, 20), slice(8, 16)), (slice(28, 36), slice(32, 40))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 48, 48)).astype(np.uint8)


@pytest.fixture(scope="module")
def patches():
    """Three grey images with a bright square above left and a dark one below right."""
    found = np.full((3, 48, 48), 128, np.uint8)
    found[:, *BRIGHT], found[:, *DARK] = 250, 5
    return found


@pytest.fixture(scope="module")
def patch_model():
    """A network by hand: class 0 is as probable as something is bright, class 1 as something is dark."""
    inputs = keras.Input((48, 48, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(2, 3, activation="relu", name="detector")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(x), name="by_hand")
    kernel = np.stack([np.full((3, 3, 1), 1 / 9), np.full((3, 3, 1), -1 / 9)], axis=-1)
    model.set_weights([kernel, np.array([-0.7, 0.3]), 50 * np.eye(2), np.zeros(2)])
    return model


def inside(heat, square):
    """Return the share of a map's positive part that lies within 3 pixels of a square."""
    near = tuple(slice(side.start - 3, side.stop + 3) for side in square)
    return np.clip(heat[near], 0, None).sum() / np.clip(heat, 0, None).sum()


@pytest.mark.parametrize("class_, square, other", [(0, BRIGHT, DARK), (1, DARK, BRIGHT)])
def test_grad_cam_peaks_where_the_class_is_decided(patch_model, patches, class_, square, other):
    for heat in explanation.grad_cam(patch_model, patches, class_):
        assert heat[square].max() == heat.max() == 1
        assert inside(heat, square) > 0.99 and heat[other].max() < 0.01


@pytest.mark.parametrize("class_, square", [(0, BRIGHT), (1, DARK)])
def test_occlusion_finds_the_same_place_by_other_means(patch_model, patches, class_, square):
    heat = explanation.occlusion_map(patch_model, patches[:1], class_, progress=False)[0]
    top, left = np.unravel_index(heat.argmax(), heat.shape)
    assert square[0].start <= top < square[0].stop and square[1].start <= left < square[1].stop
    assert heat.max() > 0.05 and inside(heat, square) > 0.5


def test_occlusion_value_is_the_mean_fall_over_the_squares_that_cover_a_pixel(patch_model, patches):
    """With one square of the image's own size there is one fall, the same for every pixel."""
    image = patches[:1]
    whole = explanation.occlusion_map(patch_model, image, 0, patch=48, stride=48, progress=False)[0]
    grey = np.full_like(image, round(image.mean()))
    before, after = (patch_model.predict(x[..., None], verbose=0)[0, 0] for x in (image, grey))
    np.testing.assert_allclose(whole, before - after, atol=1e-6)


def test_overlapping_squares_are_averaged(patch_model, patches):
    """Against a loop that covers, asks and averages for one pixel after the other."""
    image, starts = patches[0], (0, 12, 24)
    found = explanation.occlusion_map(patch_model, patches[:1], 1, patch=24, stride=12, progress=False)[0]

    def probability(picture):
        return float(patch_model(picture[None, ..., None].astype("float32"))[0, 1])

    falls = {}
    for top in starts:
        for left in starts:
            covered = image.copy()
            covered[top : top + 24, left : left + 24] = round(image.mean())
            falls[top, left] = probability(image) - probability(covered)
    for y, x in ((0, 0), (20, 14), (30, 36), (47, 47), (13, 40)):
        over = [fall for (top, left), fall in falls.items() if top <= y < top + 24 and left <= x < left + 24]
        assert found[y, x] == pytest.approx(np.mean(over), abs=1e-5)


def test_every_pixel_is_covered_also_when_squares_do_not_divide_the_image(patch_model, patches):
    found = explanation.occlusion_map(patch_model, patches[:1], 0, patch=10, stride=7, progress=False)
    assert found.shape == (1, 48, 48) and np.isfinite(found).all()


def by_the_book(model, layer, images, class_):
    """Grad-CAM as it is usually written in TensorFlow, for a flat model that ends in one dense layer."""
    import cv2
    import tensorflow as tf

    last = model.layers[-1]
    both = keras.Model(model.input, [layer.output, last.input])
    with tf.GradientTape() as tape:
        maps, features = both(images[..., None].astype("float32"))
        score = tf.reduce_sum((tf.matmul(features, last.kernel) + last.bias)[:, class_])
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2))
    heat = tf.nn.relu(tf.einsum("nhwc,nc->nhw", maps, weights)).numpy()
    heat = np.stack([cv2.resize(one, (48, 48)) for one in heat])
    return heat / heat.max(axis=(1, 2), keepdims=True)


def small_compact(**settings):
    keras.utils.set_random_seed(1)
    return models.compact_cnn(stem=8, widths=(8, 12, 16), blocks=1, **settings)


@pytest.fixture(scope="module")
def compact():
    return small_compact()


def test_agrees_with_the_usual_recipe(compact, images):
    classes = [c for c in range(7) if explanation.grad_cam(compact, images, c).max(axis=(1, 2)).all()]
    assert classes, "a class for which something speaks in every image"
    ours = explanation.grad_cam(compact, images, classes[0])
    theirs = by_the_book(compact, explanation.feature_layer(compact), images, classes[0])
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_augmentation_in_front_changes_nothing(compact, images):
    nested = models.with_augmentation(compact, seed=0)
    expected = explanation.grad_cam(compact, images, 2, signed=True)
    np.testing.assert_allclose(explanation.grad_cam(nested, images, 2, signed=True), expected, atol=1e-4)


def vgg16():
    return models.vgg16_classifier(models.load_backbone("VGG16", 48, "random")[0], 48)


def resnet():
    backbone = models.load_backbone("ResNet50V2", 48, "random")[0]
    backbone.trainable = False
    return models.resnet50_classifier(backbone, 48)


@pytest.mark.parametrize(
    "build, layer",
    [
        (models.custom_cnn, "block3_conv2"),
        (lambda: models.with_augmentation(models.custom_cnn(), 0), "block3_conv2"),
        (vgg16, "block5_conv3"),
        (resnet, "post_relu"),
        (small_compact, "stage3_block1_relu2"),
        (lambda: small_compact(normalisation=False), "stage3_block1_relu2"),
        (lambda: small_compact(normalisation=False, image_size=None), "stage3_block1_relu2"),
    ],
    ids=["custom", "augmented", "vgg16", "resnet50v2", "compact", "compact folded", "compact of any size"],
)
def test_every_model_of_the_series_can_be_explained_and_stays_as_it_was(build, layer, images):
    model = build()
    weights, answers = model.get_weights(), model.predict(images[..., None], verbose=0)
    assert explanation.feature_layer(model).name == layer
    heat = explanation.grad_cam(model, images, signed=True)
    assert heat.shape == images.shape and heat.dtype == np.float32
    np.testing.assert_allclose(np.abs(heat).max(axis=(1, 2)), 1, atol=1e-6)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(model.predict(images[..., None], verbose=0), answers)


def test_works_in_half_precision(images):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        heat = explanation.grad_cam(small_compact(), images, 0, signed=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert heat.dtype == np.float32 and np.isfinite(heat).all() and heat.any()


def test_batches_and_single_classes_do_not_change_the_maps(compact, images):
    classes = np.array([0, 3, 3, 6, 1])
    together = explanation.grad_cam(compact, images, classes, batch_size=2)
    for i, class_ in enumerate(classes):
        np.testing.assert_allclose(together[i], explanation.grad_cam(compact, images[i : i + 1], class_)[0], atol=1e-3)
    np.testing.assert_allclose(
        explanation.grad_cam(compact, images),
        explanation.grad_cam(compact, images, compact.predict(images[..., None], verbose=0).argmax(axis=1)),
    )
    assert explanation.grad_cam(compact, images[:0]).shape == (0, 48, 48)


def test_maps_are_in_range_and_the_signed_ones_hold_both_sides(compact, images):
    plain, signed = (explanation.grad_cam(compact, images, 0, signed=signed) for signed in (False, True))
    assert plain.min() >= 0 and plain.max() <= 1
    assert signed.min() < 0 and np.abs(signed).max() == pytest.approx(1)


def test_another_layer_can_be_named(compact, images):
    assert explanation.feature_layer(compact, "stage1_block1_relu2").output.shape[1:3] == (24, 24)
    earlier = explanation.grad_cam(compact, images, 0, layer="stage1_block1_relu2")
    assert not np.allclose(earlier, explanation.grad_cam(compact, images, 0))


def test_bad_requests_are_one_clear_line(compact, images, tiny_model, monkeypatch):
    dense = tiny_model()
    for request, message in (
        (lambda: explanation.grad_cam(dense, images), "no convolution"),
        (lambda: explanation.grad_cam(compact, images, layer="nowhere"), "no layer 'nowhere'"),
        (lambda: explanation.grad_cam(compact, images, layer="probabilities"), "feature maps"),
        (lambda: explanation.grad_cam(compact, images, 7), "0 to 6"),
        (lambda: explanation.grad_cam(compact, images[..., None]), "shape"),
        (lambda: explanation.occlusion_map(compact, images, 0, patch=4, stride=9), "stride"),
        (lambda: explanation.randomised(compact, 1.5), "between 0 and 1"),
        (lambda: explanation.randomisation_check(compact, images[:1]), "at least 2 images"),
    ):
        with pytest.raises(UserError, match=message):
            request()
    monkeypatch.setattr(keras.backend, "backend", lambda: "openvino")
    with pytest.raises(UserError, match="needs gradients"):
        explanation.grad_cam(compact, images, 0)


def test_randomised_works_on_a_clone_from_the_output_down(compact):
    trained = [2 * array + 1 for array in compact.get_weights()]
    compact.set_weights(trained)
    state = random.getstate()
    whole, half, none = (explanation.randomised(compact, share, seed=3) for share in (1.0, 0.5, 0.0))
    assert random.getstate() == state
    for before, after, kept in zip(trained, compact.get_weights(), none.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
        np.testing.assert_array_equal(before, kept)
    assert not np.array_equal(whole.get_layer("stem_conv").kernel, compact.get_layer("stem_conv").kernel)
    np.testing.assert_array_equal(half.get_layer("stem_conv").kernel, compact.get_layer("stem_conv").kernel)
    for model in (whole, half):
        assert not np.array_equal(model.get_layer("probabilities").kernel, compact.get_layer("probabilities").kernel)
    again = explanation.randomised(compact, 1.0, seed=3)
    for first, second in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_randomised_weights_lower_the_rank_correlation(patch_model, patches):
    noisy = patches.astype(int) + np.random.default_rng(0).integers(-5, 6, patches.shape)
    table = explanation.randomisation_check(
        patch_model, noisy.clip(0, 255).astype(np.uint8), 0, stages=2, progress=False
    )
    intact, *_, wholly_random, _ = table["correlation"]
    assert intact == pytest.approx(1) and wholly_random < 0.7
    assert table["share"].tolist() == ["0%", "50%", "100%", "another image"]
    assert table["down to"].iloc[2] == "detector"
    assert (table["low"] <= table["correlation"] + 1e-9).all() and (table["correlation"] <= table["high"] + 1e-9).all()


def test_the_check_sees_through_maps_that_do_not_depend_on_the_weights(compact, images, monkeypatch):
    """An edge detector posing as an explanation: it never changes, and the check must say so."""
    edges = np.abs(np.gradient(images.astype(np.float32), axis=2))
    monkeypatch.setattr(sys.modules["fer_utils.explanation.randomisation"], "grad_cam", lambda *_, **__: edges)
    table = explanation.randomisation_check(compact, images, 0, stages=2, progress=False)
    np.testing.assert_allclose(table["correlation"][:3], 1)
    assert table["correlation"].iloc[3] < 0.5


def test_similarity_is_spearmans(images):
    first, second = images[:2].astype(float), images[2:4].astype(float)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(explanation.similarity(first, second), expected)
    assert explanation.similarity(np.zeros((1, 48, 48)), first[:1]) == 0


def test_pairs_share_the_label_and_start_with_the_surest_mistake():
    labels = np.array([0, 0, 0, 3, 3, 5])
    probabilities = np.full((6, 7), 0.01)
    for row, (answer, sure) in enumerate([(0, 0.9), (0, 0.5), (2, 0.6), (3, 0.7), (4, 0.8), (5, 0.9)]):
        probabilities[row, answer] = sure
    pairs = explanation.right_and_wrong(labels, probabilities)
    assert pairs.to_numpy().tolist() == [[3, 3, 4, 4], [0, 0, 2, 2]]
    assert len(explanation.right_and_wrong(labels, probabilities, n=1)) == 1
    assert explanation.right_and_wrong(labels[:2], probabilities[:2]).empty


def test_overlay_leaves_the_image_where_there_is_no_heat(images):
    heat = np.zeros((48, 48))
    heat[10, 10], heat[20, 20] = 2.0, -1.0
    shown = plots.overlay(images[0], heat)
    changed = np.argwhere(np.abs(shown - images[0][..., None] / 255).max(axis=2) > 1e-9)
    assert changed.tolist() == [[10, 10]] and shown.min() >= 0 and shown.max() <= 1


def test_figures_can_be_drawn(compact, images, tmp_path):
    labels = np.array([0, 0, 1, 1, 2])
    probabilities = np.eye(7)[[0, 1, 1, 2, 2]]
    pairs = explanation.right_and_wrong(labels, probabilities)
    maps = {"one": np.random.default_rng(0).random((2 * len(pairs), 48, 48))}
    check = pd.DataFrame({"share": ["0%", "another image"], "correlation": [1, 0.2], "low": [1, 0.1], "high": [1, 0.3]})
    figures = [
        plots.heat_rows(images, {"one": images / 255}, list("abcde"), "title"),
        plots.right_and_wrong_chart(images, pairs, probabilities, maps),
        plots.randomisation_chart(check),
    ]
    for figure in figures:
        figure.savefig(tmp_path / "figure.png")
    # Face and one map on either side, a gap between them, one row a pair.
    assert len(figures[1].axes) == 5 * len(pairs)


def test_importing_loads_no_framework():
    code = (
        "import sys; from fer_utils import experiments, explanation, plots; "
        "print([name for name in ('tensorflow', 'keras', 'torch', 'jax') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
