"""The drawing of a network tells its sizes."""

import visualkeras

from fer_utils import models
from fer_utils.models.drawing import draw_architecture


def test_below_the_last_layer_of_each_size_stands_the_size(monkeypatch):
    told = {}

    def spy(chain, text_callable, **_):
        told.update((layer.name, text_callable(i, layer)[0]) for i, layer in enumerate(chain.layers))
        return draw(chain, text_callable=text_callable, **_)

    draw = visualkeras.layered_view
    monkeypatch.setattr(visualkeras, "layered_view", spy)
    picture = draw_architecture(models.custom_cnn())
    assert {name: text for name, text in told.items() if text} == {
        "block1_norm": "48×48×64",
        "block2_norm": "24×24×256",
        "block3_norm": "12×12×512",
        "block3_pool": "6×6×512",
        "dense": "1,024",
        "probabilities": "7",
    }
    assert picture.mode == "RGB" and picture.width > 1000


def test_a_drawing_has_an_alternative_text_and_a_page_shows_it():
    from IPython.core.formatters import DisplayFormatter

    data, about = DisplayFormatter().format(draw_architecture(models.custom_cnn()))
    assert data["image/png"] and "Conv2D 48×48×32" in about["image/png"]["alt"]
    assert about["image/png"]["alt"].endswith("Dense 7.")
