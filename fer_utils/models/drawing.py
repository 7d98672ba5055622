"""A drawing of a network, by visualkeras: no system program is needed."""

import warnings

MANY_LAYERS = 24

MANY_SHOWN = 16


def draw_architecture(model, height: int = 150):
    """Draw a network as a row of blocks, as tall as its feature maps and as long as it has channels.

    Below the last layer of each size stands that size: height × width × channels.

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
    from matplotlib.font_manager import findfont
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
            flat,
            legend=True,
            type_ignore=hidden,
            scale_xy=height / 48,
            scale_z=0.25,
            max_z=depth,
            min_xy=12,
            max_xy=height,
            spacing=12,
            padding=36,
            text_callable=_sizes(flat, hidden),
            # Pillow's own font has no ×.
            font=ImageFont.truetype(findfont("DejaVu Sans"), 13),
        )
    # visualkeras leaves no room above the first block.
    picture = ImageOps.expand(picture.convert("RGB"), border=8, fill="white")
    shown = [layer for layer in chain if not isinstance(layer, tuple(hidden))]
    return _with_text(picture, "Drawing of the network, layer by layer: " + ", ".join(map(_in_words, shown)) + ".")


def _with_text(picture, text: str):
    """Return a PIL image that a notebook shows with an alternative text, for whoever cannot see it."""
    import base64
    import io

    def bundle(include=None, exclude=None):
        content = io.BytesIO()
        picture.save(content, "PNG")
        data = {"image/png": base64.b64encode(content.getvalue()).decode(), "text/plain": repr(picture)}
        return data, {"image/png": {"alt": text}}

    # IPython asks an object for this before it draws it in its own way.
    setattr(picture, "_repr_mimebundle_", bundle)  # noqa: B010
    return picture


def _in_words(layer) -> str:
    return f"{type(layer).__name__} {'×'.join(f'{size:,}' for size in layer.output.shape[1:])}"


def _of_backbone(backbone) -> list:
    from keras import layers

    residual = [layer for layer in backbone.layers if isinstance(layer, layers.Add)]
    if not residual:
        return backbone.layers
    first = next(layer for layer in backbone.layers if isinstance(layer, layers.Conv2D))
    return [first, *residual]


def _sizes(chain, hidden: list):
    """Return what visualkeras asks for the text below a layer: its size, if no drawn layer after it has the same."""
    from keras import layers

    # Dropout changes no size and would only move the text to the right.
    shown = [layer for layer in chain.layers if not isinstance(layer, (*hidden, layers.Dropout))]
    last = {layer.output.shape[1:3]: layer for layer in shown}
    last_map = max((i for i, layer in enumerate(shown) if len(layer.output.shape) == 4), default=None)

    def text_below(_, layer):
        is_last = last.get(layer.output.shape[1:3]) is layer
        text = "×".join(f"{size:,}" for size in layer.output.shape[1:]) if is_last else ""
        # A line lower: in a long drawing, the long text of the last map would run into that of the layer behind it.
        lower = is_last and len(shown) > MANY_SHOWN and shown.index(layer) == last_map
        return "\n" * lower + text, False

    return text_below


class _Chain:
    """What visualkeras reads off a model, with the `output_shape` that Keras 3 layers no longer have."""

    def __init__(self, chain):
        for layer in chain:
            layer.output_shape = tuple(layer.output.shape)
        self.layers = chain
