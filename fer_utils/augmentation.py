"""The original project's augmentation as Keras 3 layers.

The layers belong to the training model and do nothing at prediction time. They are written in
`keras.layers` alone, so that they run on every backend, and they compute in float32: pixel
coordinates are too fine for 8 bits of mantissa.
"""

ROTATION_DEGREES = 40
SHIFT = 0.2
SHEAR = 0.2
ZOOM = 0.2


def transformations() -> dict:
    """Return the original's transformations by name, each a Keras layer for images (n, height, width, 1) in 0..255.

    Rotation up to ±40°, shifts up to 20 % of the width and height, shear up to 20 %, zoom up to ±20 %,
    horizontal flip; the border is filled with the nearest pixel, as `ImageDataGenerator` does.
    """
    from keras import layers

    filled = {"fill_mode": "nearest", "dtype": "float32"}
    return {
        "rotation": layers.RandomRotation(ROTATION_DEGREES / 360, **filled),
        "shift": layers.RandomTranslation(SHIFT, SHIFT, **filled),
        "shear": layers.RandomShear((0.0, SHEAR), (0.0, SHEAR), **filled),
        "zoom": layers.RandomZoom((-ZOOM, ZOOM), (-ZOOM, ZOOM), **filled),
        "flip": layers.RandomFlip("horizontal", dtype="float32"),
    }


def augmenter(seed: int | None = None):
    """Return all transformations in one keras.Sequential, active only with `training=True`.

    Args:
        seed: makes the sequence of random draws repeatable.
    """
    import keras

    chain = list(transformations().values())
    if seed is not None:
        chain = [type(layer).from_config({**layer.get_config(), "seed": seed + i}) for i, layer in enumerate(chain)]
    return keras.Sequential(chain, name="augmentation")


def with_augmentation(model, seed: int | None = None):
    """Put the augmentation before a model; both share the model's weights.

    Args:
        model: an uncompiled keras.Model for images (n, 48, 48, 1).
        seed: for the random draws.

    Returns:
        An uncompiled keras.Model with the same input and output.
    """
    import keras

    inputs = keras.Input(model.input_shape[1:], name="image")
    return keras.Model(inputs, model(augmenter(seed)(inputs)), name=f"{model.name}_augmented")
