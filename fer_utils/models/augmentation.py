"""The original project's augmentation: five Keras layers to look at, and one layer that does all five to train with.

`transformations()` are Keras's own layers, for seeing what each does. What the network is trained with,
`augmenter()`, draws from the same distributions but multiplies the five maps first and interpolates once: a third of
the time of the layers in a row, and the picture is not blurred four times (`fer_utils.models.random_affine`).
Both are little beside a step of the network, and a layer stays in the model and also runs on a GPU.
`benchmarks/augmenting.py` measures it.

Nothing happens at prediction time. Everything is written in `keras` alone, so that it runs on every backend, and
computes in float32: pixel coordinates are too fine for the 8 significant bits of bfloat16.
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


def augmenter(seed: int | None = None, strength: float = 1.0, **changes):
    """Return all transformations in one Keras layer, active only with `training=True`.

    Args:
        seed: makes the sequence of random draws repeatable.
        strength: share of the original's sizes. 0.5 turns up to ±20°, shifts up to 10 %, and so on; mirroring has no
            size and stays.
        changes: other settings of `random_affine.RandomAffine` than the original's, such as `rotation=10` (degrees)
            or `flip=False`.
    """
    from fer_utils.models.random_affine import RandomAffine

    sizes = {"rotation": ROTATION_DEGREES, "shift": SHIFT, "shear": SHEAR, "zoom": ZOOM}
    settings = {**{name: strength * size for name, size in sizes.items()}, "flip": True, **changes}
    return RandomAffine(**settings, seed=seed, name="augmentation")


def with_augmentation(model, seed: int | None = None, **changes):
    """Put the augmentation before a model; both share the model's weights.

    Args:
        model: an uncompiled keras.Model for images (n, 48, 48, 1).
        seed: for the random draws.
        changes: as for `augmenter`.

    Returns:
        An uncompiled keras.Model with the same input and output.
    """
    import keras

    inputs = keras.Input(model.input_shape[1:], name="image")
    return keras.Model(inputs, model(augmenter(seed, **changes)(inputs)), name=f"{model.name}_augmented")


def without_augmentation(model):
    """Take away what `with_augmentation` put before a model; any other model comes back as it is."""
    import keras

    from fer_utils.models.random_affine import RandomAffine

    # Not unpacked: a model may have a single layer.
    between, last = model.layers[1:-1], model.layers[-1]
    changing = (RandomAffine, keras.layers.RandomErasing)
    is_ours = between and isinstance(last, keras.Model) and all(isinstance(layer, changing) for layer in between)
    return last if is_ours else model
