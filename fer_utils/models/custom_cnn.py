"""The network of notebooks 3 and 4."""

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE

INPUT_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 1)

# Keras's 0.99 needs hundreds of steps before the running statistics fit; a short run would be trained well
# and still predict at random.
NORM_MOMENTUM = 0.9


# What keeps the custom CNN from learning by heart, as notebook 3 builds it.
REGULARISATION = {"l2": 0.0001, "dropout": 0.1, "head_dropout": 0.3}


def custom_cnn(
    l2: float = REGULARISATION["l2"],
    width: float = 1.0,
    dropout: float = REGULARISATION["dropout"],
    head_dropout: float = REGULARISATION["head_dropout"],
):
    """Build notebook 03's network: three blocks of two convolutions, then two dense layers.

    Args:
        l2: weight of the L2 penalty on the two convolutions of block 2.
        width: factor on the filters of every convolution and on the dense layer's units. A quarter makes a network that
            is trained ten times as fast, for experiments that need many epochs on a laptop.
        dropout: share of the values that is dropped after each block while training.
        head_dropout: the same after the dense layer.

    Raises:
        UserError: if no filter would be left.

    Returns:
        An uncompiled keras.Model, (n, 48, 48, 1) in 0..255 → float32 (n, 7).
    """
    import keras
    from keras import layers

    if width < 1 / 32:
        raise UserError(f"width {width} leaves no filter of the first layer's 32: take at least 0.04")
    inputs = keras.Input(INPUT_SHAPE, name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    for block, (filters, penalty) in enumerate((((32, 64), 0), ((128, 256), l2), ((512, 512), 0)), start=1):
        for position, n_filters in enumerate(filters, start=1):
            x = layers.Conv2D(
                int(width * n_filters),
                3,
                padding="same",
                activation="relu",
                name=f"block{block}_conv{position}",
                kernel_regularizer=keras.regularizers.L2(penalty) if penalty else None,
            )(x)
        x = layers.BatchNormalization(momentum=NORM_MOMENTUM, name=f"block{block}_norm")(x)
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
        x = layers.Dropout(dropout, name=f"block{block}_dropout")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(int(width * 1024), activation="relu", name="dense")(x)
    x = layers.Dropout(head_dropout, name="dropout")(x)
    return keras.Model(inputs, softmax_output(x), name="custom_cnn")


def softmax_output(x):
    """Add the last layer, shared by every model: seven probabilities, in float32 whatever the rest computes in."""
    from keras import layers

    return layers.Dense(len(EMOTIONS), activation="softmax", dtype="float32", name="probabilities")(x)
