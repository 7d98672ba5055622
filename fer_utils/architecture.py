"""A drawing of a network, by visualkeras: no system program is needed."""

import warnings

MANY_LAYERS = 24


def draw_architecture(model, height: int = 150):
    """Draw a network as a row of blocks, as tall as its feature maps and as deep as its channels.

    Args:
        model: a keras.Model. A backbone inside it is drawn as well; of one with residual connections
            only the first convolution and the additions, since 190 layers would not be readable.
        height: of the largest feature map, in pixels.

    Returns:
        A PIL image with a legend.
    """
    import keras
    import visualkeras
    from keras import layers
    from PIL import ImageFont, ImageOps

    chain = []
    for layer in model.layers:
        chain.extend(_of_backbone(layer) if isinstance(layer, keras.Model) else [layer])
    hidden = [layers.InputLayer, layers.Rescaling, layers.Resizing, layers.Concatenate, layers.Flatten]
    flat, depth = _Chain(chain), 90
    if len(chain) > MANY_LAYERS:
        hidden += [layers.Dropout, layers.BatchNormalization, layers.GlobalAveragePooling2D]
        depth = 30
    with warnings.catch_warnings():
        # visualkeras warns about its own defaults.
        warnings.simplefilter("ignore")
        picture = visualkeras.layered_view(
            flat, legend=True, type_ignore=hidden, scale_xy=height / 48, scale_z=0.25, max_z=depth, min_xy=12,
            max_xy=height, spacing=12, font=ImageFont.load_default(size=13), padding=12,
        )  # fmt: skip
    # visualkeras leaves no room above the first block.
    return ImageOps.expand(picture.convert("RGB"), border=8, fill="white")


def _of_backbone(backbone) -> list:
    from keras import layers

    residual = [layer for layer in backbone.layers if isinstance(layer, layers.Add)]
    if not residual:
        return backbone.layers
    first = next(layer for layer in backbone.layers if isinstance(layer, layers.Conv2D))
    return [first, *residual]


class _Chain:
    """What visualkeras reads off a model, with the `output_shape` that Keras 3 layers no longer have."""

    def __init__(self, chain):
        for layer in chain:
            layer.output_shape = tuple(layer.output.shape)
        self.layers = chain
