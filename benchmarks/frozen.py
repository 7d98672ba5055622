"""An epoch of transfer learning: the tail on features that were computed once, against `fit` through everything."""

import numpy as np

from benchmarks.side_by_side import Comparison, compare
from fer_utils import features, models, training
from fer_utils.dataset import load_dataset
from fer_utils.quiet import load_keras

BATCH_SIZE = 64
LOSS = "sparse_categorical_crossentropy"


def measure(n: int = 1024, image_size: int = 48) -> list[Comparison]:
    """Measure notebook 05's second stage and notebook 06's first, with random weights, which cost what others cost.

    Args:
        n: images in an epoch.
        image_size: in pixels.
    """
    keras = load_keras()
    precision = training.choose_precision()
    images, labels = (part[:n] for part in load_dataset(progress=False).subset("Training"))
    rows = []
    vgg16, _ = models.load_backbone("VGG16", image_size, "random")
    for layer in vgg16.layers[:-3]:
        layer.trainable = False
    resnet, _ = models.load_backbone("ResNet50V2", image_size, "random")
    resnet.trainable = False
    for what, model in (
        ("VGG16, layers[:-3] frozen", models.vgg16_classifier(vgg16, image_size)),
        ("ResNet50V2, frozen", models.resnet50_classifier(resnet, image_size)),
    ):
        frozen, tail = features.split_frozen(model)
        kept = features.compute(frozen, images, BATCH_SIZE, progress=False)
        answer, expected = (
            network.predict(x, 256, verbose=0) for network, x in ((tail, kept), (model, images[..., None]))
        )
        difference = float(np.abs(answer - expected).max())
        for network in (tail, model):
            network.compile(keras.optimizers.Adam(1e-4), LOSS, metrics=["accuracy"])
        rows.append(
            compare(
                f"epoch, {what}, {len(labels):,} images at {image_size} px, {precision} "
                f"(probabilities differ by {difference:.0e})",
                "`fit` through the whole network",
                _epoch(tail, features.batches(kept, labels, BATCH_SIZE, seed=0)),
                _epoch(model, images[..., None], labels),
                3,
            )
        )
    return rows


def _epoch(model, *data):
    more = {"batch_size": BATCH_SIZE} if len(data) > 1 else {"shuffle": False}
    return lambda: model.fit(*data, epochs=1, verbose=0, **more)
