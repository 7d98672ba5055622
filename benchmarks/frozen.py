"""An epoch of transfer learning: the tail on features that were computed once, against `fit` through everything."""

import shutil

import numpy as np

from benchmarks.as_trained import as_trained
from benchmarks.side_by_side import Comparison, compare
from fer_utils import models
from fer_utils.common.paths import cache_folder
from fer_utils.dataset import load_dataset
from fer_utils.models.keras_start import load_keras
from fer_utils.training import feature_store, frozen_layers
from fer_utils.training.batches import batches
from fer_utils.training.precision import choose_precision

BATCH_SIZE = 64
LOSS = "sparse_categorical_crossentropy"
# Images in an epoch and pairs, by image size: at 224 pixels the plain way takes half a minute for a few hundred.
SIZES = {48: (4096, 3), 224: (512, 3)}


def measure() -> list[Comparison]:
    """Measure notebook 05's second stage and notebook 06's first, with random weights, which cost what others cost."""
    load_keras()
    precision = choose_precision()
    images, labels = load_dataset(progress=False).subset("Training")
    rows = []
    for image_size, (n, repeats) in SIZES.items():
        for what, model in _models(image_size):
            rows.append(_compare(what, model, images[:n], labels[:n], f"{image_size} px, {precision}", repeats))
    rows.append(_both_stages(images[:1024], precision))
    return rows


def _both_stages(images, precision: str) -> Comparison:
    """Compare the features of notebook 05's two stages computed in one pass with those of each computed on its own."""
    backbone, _ = models.load_backbone("VGG16", 48, "random")
    backbone.trainable = False
    model = models.vgg16_classifier(backbone, 48)
    of_head, _ = frozen_layers.split_frozen(model)
    on_the_way = frozen_layers.split_on_the_way(model, of_head, backbone.layers[-3:])

    def compute(**how):
        shutil.rmtree(cache_folder() / "features", ignore_errors=True)
        feature_store.compute(of_head, images, BATCH_SIZE, progress=False, **how)
        feature_store.compute(on_the_way[0], images, BATCH_SIZE, progress=False)

    return compare(
        f"features of both stages, VGG16, {len(images):,} images at 48 px, {precision}: the second's on the way",
        "each stage's computed on its own",
        lambda: compute(on_the_way=on_the_way),
        compute,
        2,
    )


def _models(image_size: int):
    """Yield both networks by name, their backbones frozen as the notebooks freeze them."""
    vgg16, _ = models.load_backbone("VGG16", image_size, "random")
    for layer in vgg16.layers[:-3]:
        layer.trainable = False
    yield "VGG16, layers[:-3] frozen", models.vgg16_classifier(vgg16, image_size)
    resnet, _ = models.load_backbone("ResNet50V2", image_size, "random")
    resnet.trainable = False
    yield "ResNet50V2, frozen", models.resnet50_classifier(resnet, image_size)


def _compare(what: str, model, images, labels, how: str, repeats: int) -> Comparison:
    keras = load_keras()
    frozen, tail = frozen_layers.split_frozen(model)
    kept = feature_store.compute(frozen, images, BATCH_SIZE, progress=False)
    answer = tail.predict(np.asarray(kept), BATCH_SIZE, verbose=0)
    expected = model.predict(images[..., None], BATCH_SIZE, verbose=0)
    difference = float(np.abs(answer - expected).max())
    for network in (tail, model):
        network.compile(keras.optimizers.Adam(1e-4), LOSS, metrics=["accuracy"])
    return compare(
        f"epoch, {what}, {len(labels):,} images at {how} (probabilities differ by {difference:.0e})",
        "`fit` through the whole network",
        as_trained(tail, _epoch(tail, batches(kept, labels, BATCH_SIZE, seed=0))),
        _epoch(model, images[..., None], labels),
        repeats,
    )


def _epoch(model, *data):
    more = {"batch_size": BATCH_SIZE} if len(data) > 1 else {"shuffle": False}
    return lambda: model.fit(*data, epochs=1, verbose=0, **more)
