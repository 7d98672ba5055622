"""From a photo to faces."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from fer_utils import EMOTIONS, prediction
from fer_utils.errors import UserError
from fer_utils.prediction import EmotionDetector, annotate, find_faces, open_photo


class AlwaysHappy:
    """Stands in for a model: 80 % happy, whatever it sees; remembers what it saw."""

    def predict(self, images, verbose=0):
        self.seen = images
        row = np.full(7, 0.2 / 6, np.float32)
        row[EMOTIONS.index("happy")] = 0.8
        return np.tile(row, (len(images), 1))


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """NASA's portrait of Eileen Collins, public domain, as scikit-image ships it; grey, 300 pixels high."""
    grey = np.asarray(Image.fromarray(data.astronaut()).convert("L"))
    return np.ascontiguousarray(grey[:300, 80:340])


def encoded(array, kind="PNG", **options) -> bytes:
    content = io.BytesIO()
    Image.fromarray(array).save(content, kind, **options)
    return content.getvalue()


def test_small_picture_is_one_face():
    model = AlwaysHappy()
    (face,) = EmotionDetector(model)(np.full((48, 48), 90, np.uint8))
    assert face.box == (0, 0, 48, 48) and face.label == "happy" and not face.unsure
    assert model.seen.shape == (1, 48, 48, 1) and model.seen.dtype == np.uint8


def test_no_face_is_an_empty_list():
    assert EmotionDetector(AlwaysHappy())(np.full((300, 300), 128, np.uint8)) == []


def test_faces_are_cut_out_and_shrunk(portrait, monkeypatch):
    monkeypatch.setattr(prediction, "find_faces", lambda photo: [(50, 50, 160, 200), (0, 0, 60, 60)])
    model = AlwaysHappy()
    faces = EmotionDetector(model)(portrait)
    assert [face.box for face in faces] == [(50, 50, 160, 200), (0, 0, 60, 60)]
    assert model.seen.shape == (2, 48, 48, 1)
    assert model.seen[1].mean() == pytest.approx(portrait[:60, :60].mean(), abs=2)


def test_face_of_a_photo_is_found_once():
    whole = open_photo(data.astronaut())
    ((x, y, w, h),) = find_faces(whole)
    assert x < 222 < x + w and y < 125 < y + h and 70 < w < 200


def test_face_as_json():
    (face,) = EmotionDetector(AlwaysHappy())(np.zeros((48, 48), np.uint8))
    content = face.as_dict()
    assert list(content) == ["box", "label", "probabilities", "unsure"]
    assert list(content["probabilities"]) == list(EMOTIONS)
    assert content["probabilities"]["happy"] == pytest.approx(0.8)


def test_every_kind_of_input_gives_the_same_picture(tmp_path, portrait):
    (tmp_path / "p.png").write_bytes(encoded(portrait))
    kinds = [
        portrait, np.dstack([portrait] * 3), Image.fromarray(portrait), encoded(portrait), tmp_path / "p.png",
        str(tmp_path / "p.png"), memoryview(encoded(portrait)), encoded(np.dstack([portrait] * 3)),
        encoded(np.dstack([portrait] * 3 + [np.full_like(portrait, 255)])),
    ]  # fmt: skip
    for kind in kinds:
        np.testing.assert_allclose(open_photo(kind), portrait, atol=1)


def test_unusual_colour_modes_give_the_same_picture(portrait):
    deep = Image.fromarray(portrait.astype(np.uint16) * 257)
    content = io.BytesIO()
    deep.save(content, "PNG")
    np.testing.assert_allclose(open_photo(content.getvalue()), portrait, atol=1)
    cmyk = Image.fromarray(np.dstack([portrait] * 3)).convert("CMYK")
    np.testing.assert_allclose(open_photo(cmyk), portrait, atol=2)
    np.testing.assert_allclose(open_photo(encoded(portrait, "GIF")), portrait, atol=1)


def test_transparent_parts_are_white(portrait):
    seen_through = np.dstack([portrait] * 3 + [np.zeros_like(portrait)])
    assert (open_photo(encoded(seen_through)) == 255).all()


def test_photo_taken_sideways_is_turned(portrait):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_photo(encoded(portrait, "JPEG", exif=exif)).shape == (260, 300)


BAD = {
    "empty": (b"", "not a picture"),
    "text": (b"hello, this is no picture", "not a picture"),
    "zip": (b"PK\x03\x04" + bytes(200), "not a picture"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_bytes_cost_one_clear_line(kind):
    content, message = BAD[kind]
    with pytest.raises(UserError, match=message):
        open_photo(content)


def test_truncated_and_missing_and_huge(tmp_path, portrait, monkeypatch):
    with pytest.raises(UserError, match="not a picture"):
        open_photo(encoded(portrait)[:900])
    with pytest.raises(UserError, match="no such file: nothing.jpg"):
        open_photo(tmp_path / "nothing.jpg")
    monkeypatch.setattr(prediction, "MOST_PIXELS", 1000)
    with pytest.raises(UserError, match="260×300 pixels"):
        open_photo(encoded(portrait))


def test_annotated_picture_is_rgb_and_marked(portrait, monkeypatch):
    monkeypatch.setattr(prediction, "find_faces", lambda photo: [(50, 50, 160, 200)])
    picture = np.asarray(annotate(portrait, EmotionDetector(AlwaysHappy())(portrait)))
    assert picture.ndim == 3
    assert (picture[..., 0].astype(int) - picture[..., 2] > 100).sum() > 500, "an orange frame"


def test_model_file_that_is_missing_wrong_or_of_another_shape(tmp_path):
    with pytest.raises(UserError, match="no such model"):
        EmotionDetector(tmp_path / "none.keras")
    (tmp_path / "bad.keras").write_bytes(b"no model")
    with pytest.raises(UserError, match="not a Keras model"):
        EmotionDetector(tmp_path / "bad.keras")
    from fer_utils.quiet import load_keras

    keras = load_keras()
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match=r"not \(n, 48, 48, 1\) to \(n, 7\)"):
        EmotionDetector(tmp_path / "other.keras")


def test_saved_model_answers_like_the_one_in_memory(tmp_path, tiny_model):
    model = tiny_model(compiled=False)
    model.save(tmp_path / "m.keras")
    photo = np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)
    ours, theirs = EmotionDetector(tmp_path / "m.keras")(photo), EmotionDetector(model)(photo)
    np.testing.assert_allclose(ours[0].probabilities, theirs[0].probabilities, atol=1e-6)
