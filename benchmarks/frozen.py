"""An epoch of transfer learning: the tail on features that were computed once, against `fit` through everything."""

import numpy as np

from benchmarks.side_by_side import Comparison, compare
from fer_utils import features, models, training
from fer_utils.dataset import load_dataset
from fer_utils.quiet import load_keras

BATCH_SIZE = 64
LOSS = "sparse_categorical_crossentropy"
# Images in an epoch and pairs, by image size: at 224 pixels the plain way takes a minute for a few hundred.
SIZES = {48: (1024, 3), 224: (256, 2)}


def measure() -> list[Comparison]:
    """Measure notebook 05's second stage and notebook 06's first, with random weights, which cost what others cost."""
    load_keras()
    precision = training.choose_precision()
    images, labels = load_dataset(progress=False).subset("Training")
    rows = []
    for image_size, (n, repeats) in SIZES.items():
        for what, model in _models(image_size):
            rows.append(_compare(what, model, images[:n], labels[:n], f"{image_size} px, {precision}", repeats))
    return rows


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
    frozen, tail = features.split_frozen(model)
    kept = features.compute(frozen, images, BATCH_SIZE, progress=False)
    answer = tail.predict(np.asarray(kept), BATCH_SIZE, verbose=0)
    expected = model.predict(images[..., None], BATCH_SIZE, verbose=0)
    difference = float(np.abs(answer - expected).max())
    for network in (tail, model):
        network.compile(keras.optimizers.Adam(1e-4), LOSS, metrics=["accuracy"])
    return compare(
        f"epoch, {what}, {len(labels):,} images at {how} (probabilities differ by {difference:.0e})",
        "`fit` through the whole network",
        _epoch(tail, features.batches(kept, labels, BATCH_SIZE, seed=0)),
        _epoch(model, images[..., None], labels),
        repeats,
    )


def _epoch(model, *data):
    more = {"batch_size": BATCH_SIZE} if len(data) > 1 else {"shuffle": False}
    return lambda: model.fit(*data, epochs=1, verbose=0, **more)
