"""From a photo to faces with labels."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from helpers import AlwaysHappy, picture
from PIL import Image
from portraits import admiral, astronaut, group_photo

from fer_utils import EMOTIONS
from fer_utils.common.errors import UserError
from fer_utils.common.stored_weights import ONNX_FILE
from fer_utils.dataset import load_dataset
from fer_utils.detector import photos
from fer_utils.detector.annotate import annotate, save_annotated
from fer_utils.detector.crops import find_crops, with_contrast
from fer_utils.detector.detector import EmotionDetector, Face
from fer_utils.detector.shipped import ShippedModel


@pytest.fixture(scope="module")
def onnx_model(tmp_path_factory):
    """A compact.onnx of a very small untrained network."""
    from fer_utils.models.keras_start import load_keras

    load_keras()
    from fer_utils.models.compact_cnn import compact_cnn
    from workshop.model.export import save_compact

    network = {"stem": 8, "widths": [8, 16], "blocks": 1, "dropout": 0.0}
    folder = tmp_path_factory.mktemp("model")
    save_compact(folder, compact_cnn(**network, normalisation=False), {"network": network})
    return folder / ONNX_FILE


def test_small_picture_is_one_face():
    model = AlwaysHappy()
    (face,) = EmotionDetector(model)(picture(1))
    assert face.whole and face.box == (0, 0, 48, 48) and face.label == "happy" and not face.unsure
    assert model.seen.shape == (1, 48, 48, 1) and model.seen.dtype == np.uint8


def test_a_picture_of_fer2013s_size_reaches_the_model_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)
    model = AlwaysHappy()
    EmotionDetector(model)(image)
    np.testing.assert_array_equal(model.seen[0, ..., 0], image)


def test_no_face_is_an_empty_list():
    flat = [np.full((height, width), 128, np.uint8) for height, width in ((300, 300), (20, 400), (60, 60), (1, 1))]
    noise = 120 + np.random.default_rng(0).integers(0, 6, (60, 60)).astype(np.uint8)
    for nothing in (*flat, noise):
        assert EmotionDetector(AlwaysHappy())(nothing) == []


@pytest.mark.parametrize("changed", [lambda x: 0.12 * x, lambda x: 230 + 0.1 * x, lambda x: 100 + 0.2 * x])
def test_a_face_in_dim_light_or_fog_meets_the_model_in_full_contrast(changed):
    """The model would call it angry otherwise, and be sure of it; in fog the face would not be found at all."""
    photo = np.clip(changed(astronaut().astype(float)), 0, 255).astype(np.uint8)
    (face,) = EmotionDetector()(photo)
    assert face.label == "happy" and face.confidence > 0.8
    assert np.ptp(np.percentile(face.crop, (1, 99))) > 230


def test_pictures_in_fer2013s_contrast_stay_as_they_are_and_others_are_stretched():
    images, _ = load_dataset("sample", progress=False).subset("PublicTest")
    unchanged = [np.array_equal(with_contrast(image), image) for image in images]
    assert np.mean(unchanged) > 0.97
    faded = np.rint(100 + 0.2 * images[0].astype(float)).astype(np.uint8)
    assert abs(with_contrast(faded).astype(int) - images[0]).mean() < 4
    flat = np.full((48, 48), 7, np.uint8)
    assert np.array_equal(with_contrast(flat), flat)


def test_everyone_in_a_group_is_found_once_the_largest_first():
    picture, noses = group_photo()
    boxes = np.array([face.box for face in EmotionDetector(AlwaysHappy())(picture)])
    assert len(boxes) == len(noses)
    for nose in noses:
        inside = (boxes[:, :2] < nose) & (nose < boxes[:, :2] + boxes[:, 2:])
        assert inside.all(axis=1).sum() == 1
    areas = boxes[:, 2] * boxes[:, 3]
    assert (np.diff(areas) <= 0).all()


def test_a_face_that_fills_a_larger_picture_is_taken_as_a_whole():
    x, y = 225, 115
    tight = cv2.resize(astronaut()[y - 46 : y + 50, x - 48 : x + 48], (200, 200), interpolation=cv2.INTER_CUBIC)
    (face,) = EmotionDetector(AlwaysHappy())(tight)
    assert face.box[2] > 170 and face.box[3] > 170


def test_enlarged_pictures_of_the_sample_are_recognised_as_faces():
    """They end at chin and brow; four of five are found as they are, the others once there is something around them."""
    images, _ = load_dataset("sample", progress=False).subset("PublicTest")
    detector = EmotionDetector(AlwaysHappy())
    enlarged = [cv2.resize(image, (240, 240), interpolation=cv2.INTER_CUBIC) for image in images[:60]]
    found = [len(detector(image)) for image in enlarged]
    assert max(found) <= 2 and sum(n > 0 for n in found) >= 54


def test_crops_are_framed_as_fer2013_frames_faces():
    """From brow to chin: eyes a third from the top, mouth in the lower third, both centred, the face upright.

    The medians over FER-2013's training images are 18.6 and 37.3 pixels from the top, 18 between the eyes.
    """
    from fer_utils.detector.faces import FaceFinder

    for portrait in (astronaut(), admiral()):
        for angle in (0, 20):
            matrix = cv2.getRotationMatrix2D((250, 180), angle, 1)
            turned = cv2.warpAffine(portrait, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)
            ((_, crop, whole),) = find_crops(turned)
            assert not whole
            large = cv2.copyMakeBorder(crop, 24, 24, 24, 24, cv2.BORDER_REPLICATE)
            large = cv2.resize(large, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
            (face,) = FaceFinder()(np.dstack([large] * 3), smallest=60)
            left, right, _, *corners = face.points / 3 - 24
            eyes, mouth = (left + right) / 2, np.mean(corners, axis=0)
            assert eyes == pytest.approx((24, 18.6), abs=3)
            assert mouth == pytest.approx((24, 37.3), abs=3)
            assert np.linalg.norm(right - left) == pytest.approx(18, abs=3)
            assert abs(np.degrees(np.arctan2(*(right - left)[::-1]))) < 6


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photo_that_lies_on_its_side_is_turned(quarters):
    """The nose lies in the box that is found, in pixels of the photo as it was given."""
    for portrait, nose in ((astronaut(), (225, 129)), (admiral(), (268, 238))):
        mark = np.zeros(portrait.shape[:2], bool)
        mark[nose[1], nose[0]] = True
        ((at_y, at_x),) = np.argwhere(np.rot90(mark, quarters))
        (face,) = EmotionDetector(AlwaysHappy())(np.rot90(portrait, quarters))
        x, y, width, height = face.box
        assert abs(x + width / 2 - at_x) < width / 5 and abs(y + height / 2 - at_y) < height / 5
        (upright,) = EmotionDetector(AlwaysHappy())(portrait)
        assert abs(face.crop.astype(int) - upright.crop).mean() < 10


def test_a_large_photo_is_answered_in_its_own_pixels():
    small = EmotionDetector(AlwaysHappy())(astronaut())[0].box
    large = cv2.resize(astronaut(), None, fx=6, fy=6, interpolation=cv2.INTER_LINEAR)
    (face,) = EmotionDetector(AlwaysHappy())(large)
    assert np.array(face.box) / 6 == pytest.approx(small, abs=5)


def test_a_box_stays_within_the_photo():
    cut = astronaut()[70:, 180:]
    (face,) = EmotionDetector(AlwaysHappy())(cut)
    x, y, width, height = face.box
    assert x >= 0 and y >= 0 and x + width <= cut.shape[1] and y + height <= cut.shape[0]


def test_face_as_json():
    (face,) = EmotionDetector(AlwaysHappy())(picture(1))
    content = face.as_dict()
    assert list(content) == ["box", "label", "probabilities", "unsure", "whole"]
    assert list(content["probabilities"]) == list(EMOTIONS)
    assert content["probabilities"]["happy"] == pytest.approx(0.8)
    assert all(type(value) is int for value in content["box"]) and type(content["unsure"]) is bool


def test_unsure_when_the_likeliest_expression_is_less_likely_than_not():
    sure, unsure = np.full(7, 0.49 / 6), np.full(7, 0.51 / 6)
    sure[3], unsure[3] = 0.51, 0.49
    assert not Face((0, 0, 1, 1), sure).unsure and Face((0, 0, 1, 1), unsure).unsure


def test_annotated_picture_keeps_its_colours_and_marks_the_face():
    faces = EmotionDetector(AlwaysHappy())(astronaut())
    picture = np.asarray(annotate(astronaut(), faces))
    assert picture.shape == astronaut().shape
    x, y, width, height = faces[0].box
    changed = (picture != astronaut()).any(axis=2)
    assert changed[y, x : x + width].all() and changed[y : y + height, x].all(), "a frame"
    assert not changed[y + 10 : y + height - 10, x + 10 : x + width - 10].any(), "the face itself stays free"
    assert 0.005 < changed.mean() < 0.1, "a frame and a label"
    assert max(annotate(astronaut(), faces, 300).size) == 300
    assert max(annotate(np.zeros((48, 48), np.uint8), []).size) == 480


def test_an_annotated_copy_never_overwrites_a_photo(tmp_path):
    path = tmp_path / "me.png"
    Image.fromarray(astronaut()).save(path)
    before = path.read_bytes()
    first = save_annotated(path, [], tmp_path, [path])
    second = save_annotated(path, [], tmp_path, [path, first])
    assert [first.name, second.name] == ["me_2.png", "me_3.png"] and path.read_bytes() == before
    assert save_annotated(path, [], tmp_path / "new" / "folder", [path]).name == "me.png"
    with pytest.raises(UserError, match="cannot write to"):
        save_annotated(path, [], path, [])


def test_an_annotated_copy_never_overwrites_any_other_file(tmp_path):
    """Neither what lay there before, nor what an earlier call wrote for a photo of the same name."""
    for folder in ("a", "b", "copies"):
        (tmp_path / folder).mkdir()
    for folder, grey in (("a", 10), ("b", 200)):
        Image.new("RGB", (300, 300), (grey,) * 3).save(tmp_path / folder / "photo.jpg")
    (tmp_path / "copies" / "photo.png").write_bytes(b"not ours")
    first, second = (
        save_annotated(path, [], tmp_path / "copies", [path])
        for path in (tmp_path / "a" / "photo.jpg", tmp_path / "b" / "photo.jpg")
    )
    assert [first.name, second.name] == ["photo_2.png", "photo_3.png"]
    assert (tmp_path / "copies" / "photo.png").read_bytes() == b"not ours"
    assert [Image.open(path).getpixel((5, 5))[0] for path in (first, second)] == pytest.approx([10, 200], abs=2)


def test_model_file_that_is_missing_wrong_or_of_another_shape(tmp_path):
    for name in ("none.keras", "none.onnx"):
        with pytest.raises(UserError, match="no such model"):
            EmotionDetector(tmp_path / name)
    (tmp_path / "bad.keras").write_bytes(b"no model")
    with pytest.raises(UserError, match="not a Keras model"):
        EmotionDetector(tmp_path / "bad.keras")
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match=r"not \(n, 48, 48, 1\) to \(n, 7\)"):
        EmotionDetector(tmp_path / "other.keras")


def test_a_damaged_model_file_is_one_clear_line(tmp_path, tiny_model):
    tiny_model(compiled=False).save(tmp_path / "m.keras")
    whole = (tmp_path / "m.keras").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    for content in (bytes(flipped), whole[: len(whole) // 2], whole[:-30]):
        (tmp_path / "m.keras").write_bytes(content)
        with pytest.raises(UserError, match="not a Keras model that can be loaded") as error:
            EmotionDetector(tmp_path / "m.keras")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("activation, bias", [(None, 1.8), ("sigmoid", 0)])
def test_a_model_that_answers_with_no_probabilities_is_refused(tmp_path, activation, bias):
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()
    last = keras.layers.Dense(7, activation, bias_initializer=keras.initializers.Constant(bias))
    model = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.GlobalAveragePooling2D(), last])
    model.save(tmp_path / "m.keras")
    with pytest.raises(UserError, match="m.keras answers with .* no probabilities: its last layer must be softmax"):
        EmotionDetector(tmp_path / "m.keras")
    with pytest.raises(UserError, match=f"{model.name} answers with .* no probabilities"):
        EmotionDetector(model)(picture(1))


@pytest.mark.parametrize("kind, seed", [("float16", 0), ("bfloat16", 2)])
def test_a_model_that_answers_in_half_precision_is_accepted(tmp_path, kind, seed):
    """Its seven probabilities sum to 1 only within what 8 or 11 significant bits can hold: here to 0.999 and 1.002."""
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()
    bias = keras.initializers.RandomUniform(-2, 2, seed=seed)
    last = keras.layers.Dense(7, "softmax", kernel_initializer="zeros", bias_initializer=bias, dtype=kind)
    model = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.GlobalAveragePooling2D(), last])
    model.save(tmp_path / "m.keras")
    for given in (tmp_path / "m.keras", model):
        (face,) = EmotionDetector(given)(picture(1))
        assert face.probabilities.dtype == np.float32


def test_an_onnx_model_without_softmax_is_refused(onnx_model, tmp_path):
    import onnx

    changed = onnx.load(onnx_model)
    (softmax,) = (node for node in changed.graph.node if node.op_type == "Softmax")
    softmax.op_type = "Identity"
    softmax.ClearField("attribute")
    onnx.save(changed, tmp_path / "m.onnx")
    with pytest.raises(UserError, match="m.onnx answers with .* no probabilities"):
        EmotionDetector(tmp_path / "m.onnx")


def test_saved_model_answers_like_the_one_in_memory(tmp_path, tiny_model):
    model = tiny_model(compiled=False)
    model.save(tmp_path / "m.keras")
    photo = np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)
    ours, theirs = EmotionDetector(tmp_path / "m.keras")(photo), EmotionDetector(model)(photo)
    np.testing.assert_allclose(ours[0].probabilities, theirs[0].probabilities, atol=1e-6)


def test_an_onnx_model_is_asked_with_the_mirror_image_as_well(onnx_model):
    photo = np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)
    by_path, by_object = EmotionDetector(onnx_model), EmotionDetector(ShippedModel(onnx_model))
    (face,), (mirrored,) = by_path(photo), by_object(photo[:, ::-1])
    np.testing.assert_allclose(face.probabilities, mirrored.probabilities, atol=1e-6)
    assert by_path.name == by_object.name


def test_the_shipped_model_is_the_default():
    detector = EmotionDetector()
    assert isinstance(detector.model, ShippedModel) and detector.name == "compact CNN (shipped)"
    (face,) = detector(astronaut())
    assert face.label == "happy" and not face.unsure


def test_no_framework_and_nothing_slow_is_loaded_for_a_prediction(onnx_model):
    """What these would add to the first answer: TensorFlow 4 s or more, most others a part of a second each."""
    slow = (
        "tensorflow",
        "keras",
        "torch",
        "jax",
        "pandas",
        "scipy",
        "sklearn",
        "matplotlib",
        "seaborn",
        "skimage",
        "statsmodels",
        "IPython",
        "ipywidgets",
        "pillow_heif",
        "onnx",
        "PIL.ImageDraw",
    )
    code = (
        "import sys\nfrom fer_utils.cli import main\n"
        "from fer_utils.detector.detector import EmotionDetector\nimport numpy\n"
        ""
        f"EmotionDetector({str(onnx_model)!r})(numpy.full((300, 300, 3), 128, numpy.uint8))\n"
        f"EmotionDetector({str(onnx_model)!r})(numpy.arange(48 * 48).reshape(48, 48) % 256)\n"
        f"print([name for name in {slow} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_a_photo_may_be_is_said_by_open_photo():
    with pytest.raises(UserError, match="no such file"):
        EmotionDetector(AlwaysHappy())("nothing.jpg")
    assert photos.open_photo.__module__ == "fer_utils.detector.photos"


def test_a_model_saved_with_its_augmentation_is_loaded_in_a_fresh_process(tmp_path):
    from fer_utils.models.augmentation import with_augmentation
    from fer_utils.models.custom_cnn import custom_cnn

    path = tmp_path / "augmented.keras"
    with_augmentation(custom_cnn(width=0.04), seed=0).save(path)
    code = f"from fer_utils.detector.detector import load_model; print(load_model({str(path)!r}).output_shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "(None, 7)" in done.stdout, done.stderr[-500:]
