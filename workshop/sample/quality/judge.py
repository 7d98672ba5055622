"""The small classifier that `sample_realism.py` trains on real and on generated faces.

It is a yardstick, not a lesson: what counts is that the same network, schedule and augmentation meet both alike.
Nothing is chosen on a test part; the schedule is fixed beforehand.
"""

import cv2
import keras
import numpy as np
from keras import layers

from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE


def build_classifier(widths, dropout):
    """Build a plain CNN: a strided 5x5 convolution, then 3x3 convolutions at 24x24, 12x12 and 6x6.

    `widths` are four channel counts. Takes `(n, 48, 48, 1)` in 0..255 and returns `(n, 7)` probabilities.
    """

    def convolution(x, width, kernel=3, strides=1):
        x = layers.Conv2D(width, kernel, strides=strides, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization()(x))

    inputs = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 1))
    x = convolution(layers.Rescaling(1 / 64, offset=-2)(inputs), widths[0], kernel=5, strides=2)
    x = convolution(x, widths[1])
    for width in widths[2:]:
        x = convolution(layers.MaxPooling2D()(x), width)
        x = convolution(x, width)
    x = layers.Dropout(dropout)(layers.GlobalAveragePooling2D(name="features")(x))
    return keras.Model(inputs, layers.Dense(len(EMOTIONS), activation="softmax", dtype="float32")(x))


def augmented(images, generator):
    """Mirror, shift by up to 4 pixels, rotate by up to 15 degrees and scale by up to 15 %; `uint8 (n, 48, 48)`."""
    changed = np.empty_like(images)
    centre = (IMAGE_SIZE - 1) / 2
    for index, image in enumerate(images):
        matrix = cv2.getRotationMatrix2D((centre, centre), generator.uniform(-15, 15), generator.uniform(0.85, 1.15))
        matrix[:, 2] += generator.uniform(-4, 4, size=2)
        if generator.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
        changed[index] = cv2.warpAffine(image, matrix, (IMAGE_SIZE, IMAGE_SIZE), borderMode=cv2.BORDER_REPLICATE)
    return changed


def train_classifier(images, labels, seed, widths, epochs, batch_size=96, rate=2e-3, dropout=0.3, report=print):
    """Train `build_classifier` for exactly `epochs` epochs with AdamW and a cosine schedule; return the model.

    `images` is `uint8 (n, 48, 48)`, `labels` integers `(n,)`. `report(text)` gets one line per epoch.
    """
    keras.utils.set_random_seed(seed)
    generator = np.random.default_rng(seed)
    model = build_classifier(widths, dropout)
    steps = epochs * int(np.ceil(len(images) / batch_size))
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 10, steps, warmup_target=rate, warmup_steps=max(1, steps // 20)
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.02),
        keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        jit_compile=False,
    )
    targets = np.eye(len(EMOTIONS), dtype="float32")[labels]
    for epoch in range(epochs):
        order = generator.permutation(len(images))
        loss = []
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            loss.append(model.train_on_batch(augmented(images[chosen], generator)[..., None], targets[chosen]))
        report(f"epoch {epoch + 1} of {epochs}: loss {np.mean(loss):.3f}")
    return model
