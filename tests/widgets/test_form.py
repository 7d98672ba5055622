"""The uploader, driven without a browser."""

import io
import re

import numpy as np
import pytest
from helpers import AlwaysHappy, picture
from PIL import Image
from portraits import astronaut, group_photo

from fer_utils import EMOTIONS
from fer_utils.detector.crops import with_contrast
from fer_utils.detector.detector import EmotionDetector
from fer_utils.widgets.choices import available_models
from fer_utils.widgets.controls import PhotoPicker, PrivateHTML
from fer_utils.widgets.form import EmotionUploader


@pytest.fixture
def uploader(tmp_path):
    return EmotionUploader(EmotionDetector(AlwaysHappy()), tmp_path / "runs", tmp_path / "flagged")


def png(picture) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()


FACE = png(picture(1))


def send(picker, content, *buffers):
    """Do what a message from the browser does."""
    picker._handle_custom_msg(content, [memoryview(buffer) for buffer in buffers])


def choose(uploader, *files):
    """Do what the browser does when files are chosen, in parts of 500 bytes."""
    send(uploader.picker, {"kind": "begin"})
    for name, content in files:
        for at in range(0, max(len(content), 1), 500):
            send(uploader.picker, {"kind": "part", "name": name, "first": at == 0}, content[at : at + 500])
    send(uploader.picker, {"kind": "end"})


def test_choose_submit_shows_label_and_seven_bars(uploader):
    assert uploader.submit_button.disabled
    choose(uploader, ("me.png", FACE))
    assert "me.png" in uploader.message.html and not uploader.submit_button.disabled
    uploader.submit_button.click()
    assert "happy" in uploader.message.html and "Predicted expression" in uploader.message.html
    assert [face.label for face in uploader.faces] == ["happy"]
    rows = re.findall(r'<th scope="row">(\w+)</th>.*?width: ([\d.]+)%.*?>(\d+)%</td>', uploader.result.html)
    assert [row[0] for row in rows] == list(EMOTIONS)
    assert rows[3] == ("happy", "80.0", "80") and rows[0] == ("angry", "3.3", "3")


def test_a_photo_of_twelve_megapixels_sent_in_parts_takes_the_place_of_the_one_before(tmp_path):
    uploader = EmotionUploader(output_dir=tmp_path)
    large, content = Image.fromarray(astronaut()).resize((4000, 3000)), io.BytesIO()
    large.save(content, "JPEG")
    choose(uploader, ("me.png", png(astronaut())))
    uploader.submit_button.click()
    send(uploader.picker, {"kind": "begin"})
    send(uploader.picker, {"kind": "part", "name": "large.jpg", "first": True}, content.getvalue())
    send(uploader.picker, {"kind": "end"})
    uploader.submit_button.click()
    assert [face.label for face in uploader.faces] == ["happy"] and "large.jpg" in uploader.result.html


def test_every_picture_has_a_text_for_those_who_cannot_see_it(uploader):
    uploader.submit(astronaut())
    pictures = re.findall(r"<img [^>]*>", uploader.result.html)
    assert len(pictures) == 2 and all(re.search(r'alt="[^"]{20,}"', picture) for picture in pictures)


def test_controls_have_labels_or_tooltips(uploader):
    for control in (
        uploader.model_list,
        uploader.overlay,
        uploader.submit_button,
        uploader.clear_button,
        uploader.flag_box.face,
        uploader.flag_box.correction,
        uploader.flag_box.button,
    ):
        assert control.description and control.tooltip
    assert uploader.message.status and uploader.flag_box.message.status


def test_several_photos_at_once_and_one_of_them_broken(uploader):
    choose(uploader, ("a.png", FACE), ("notes.jpg", b"not a picture"), ("b.png", png(group_photo()[0])))
    uploader.submit_button.click()
    assert len(uploader.results) == 2 and len(uploader.faces) == 6
    assert "notes.jpg is not a picture that can be opened" in uploader.message.html
    assert "6 faces in 2 photos" in uploader.message.html
    assert "Photo 1: a.png, 1 face" in uploader.result.html and "Photo 2: b.png, 5 faces" in uploader.result.html
    assert uploader.result.html.count("<table>") == 6


def test_clear_forgets_everything(uploader):
    choose(uploader, ("me.png", FACE))
    uploader.submit_button.click()
    uploader.clear_button.click()
    assert uploader.faces == [] and uploader.chosen == [] and uploader.result.html == ""
    assert uploader.submit_button.disabled and "happy" not in uploader.message.html
    assert uploader.flag_box.view.layout.display == "none"


def test_broken_file_shows_one_line_and_the_form_goes_on(uploader):
    choose(uploader, ("notes.jpg", b"not a picture"))
    uploader.submit_button.click()
    assert "not a picture that can be opened" in uploader.message.html and uploader.result.html == ""
    assert not uploader.submit_button.disabled and not uploader.picker.busy
    choose(uploader, ("me.png", FACE))
    uploader.submit_button.click()
    assert "happy" in uploader.message.html


def test_an_unforeseen_failure_is_said_and_the_form_goes_on(uploader, monkeypatch):
    class Fails:
        def predict(self, images, verbose=0):
            raise RuntimeError("<b>unforeseen</b>")

    choose(uploader, ("me.png", FACE))
    whole, uploader.detector.model = uploader.detector.model, Fails()
    uploader.submit_button.click()
    assert "Something went wrong with me.png (RuntimeError: &lt;b&gt;unforeseen" in uploader.message.html
    uploader.detector.model = whole
    uploader.submit_button.click()
    assert "happy" in uploader.message.html


def test_a_photo_that_fails_does_not_cost_the_others_their_results(uploader):
    dark = picture(2) // 2

    class FailsOnOne(type(uploader.detector.model)):
        def predict(self, images, verbose=0):
            if np.array_equal(images[0, ..., 0], with_contrast(dark)):
                raise RuntimeError("too dark")
            return super().predict(images)

    uploader.detector.model = FailsOnOne()
    thin = np.full((1, 3000), 120, np.uint8)
    for name, content in (("a.png", FACE), ("<dark>.png", png(dark)), ("thin.png", png(thin))):
        uploader.chosen.append((name, content))
    faces = uploader.submit()
    assert [face.label for face in faces] == ["happy"] and len(uploader.results) == 2
    assert "Something went wrong with &lt;dark&gt;.png (RuntimeError: too dark)." in uploader.message.html
    assert "Photo 1: a.png, 1 face" in uploader.result.html and "thin.png, no face found" in uploader.result.html
    assert len(uploader.submit(dark, FACE)) == 1
    assert "Something went wrong with photo 1 (" in uploader.message.html


def test_no_face_is_said(uploader):
    assert uploader.submit(np.full((300, 300), 128, np.uint8)) == []
    assert "No face found" in uploader.message.html


def test_a_result_replaces_the_one_before(uploader):
    uploader.submit(picture(2))
    uploader.submit(b"broken")
    assert uploader.faces == [] and uploader.result.html == ""


def test_names_are_shown_as_text(uploader):
    choose(uploader, ('<img src=x onerror="alert(1)">.png', FACE))
    assert "<img src=x" not in uploader.message.html
    uploader.submit_button.click()
    assert "<img src=x" not in uploader.message.html + uploader.result.html
    assert 'onerror="' not in uploader.result.html


def test_nothing_of_a_photo_is_part_of_the_widgets_state(uploader):
    """A notebook may store the state of its widgets: neither picture, nor result, nor file name may be in it."""
    choose(uploader, ("secret_name.png", png(astronaut())))
    uploader.submit_button.click()
    assert "data:image" in uploader.result.html
    state = str(uploader.view.get_manager_state()["state"])
    assert "data:image" not in state and "secret_name" not in state and "Predicted expression:" not in state


def test_flag_stores_only_when_pressed_and_with_a_choice(uploader, tmp_path):
    choose(uploader, ("me.png", png(astronaut())))
    uploader.submit_button.click()
    assert uploader.flag_box.view.layout.display == "flex" and not (tmp_path / "flagged").exists()
    uploader.flag_box.button.click()
    assert "Choose what you see first" in uploader.flag_box.message.html and not (tmp_path / "flagged").exists()
    uploader.flag_box.correction.value = "neutral"
    uploader.flag_box.button.click()
    assert "Stored: " in uploader.flag_box.message.html and "flagged.csv" in uploader.flag_box.message.html
    (picture,) = (tmp_path / "flagged").glob("*.png")
    np.testing.assert_array_equal(np.asarray(Image.open(picture)), astronaut())
    assert ",happy," in (tmp_path / "flagged" / "flagged.csv").read_text()


def test_grad_cam_is_shown_on_demand(tmp_path):
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()
    layers = [
        keras.Input((48, 48, 1)),
        keras.layers.Conv2D(4, 3, strides=4, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(7, activation="softmax"),
    ]
    uploader = EmotionUploader(EmotionDetector(keras.Sequential(layers)), tmp_path)
    uploader.submit(astronaut(), np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8))
    assert "where the model looked" not in uploader.result.html
    uploader.overlay.value = True
    assert uploader.result.html.count("where the model looked") == 2, uploader.message.html
    uploader.overlay.value = False
    assert "where the model looked" not in uploader.result.html


def test_a_model_without_feature_maps_says_so(tmp_path, tiny_model):
    uploader = EmotionUploader(EmotionDetector(tiny_model(compiled=False)), tmp_path)
    uploader.overlay.value = True
    uploader.submit(picture(2))
    assert "no convolution" in uploader.message.html and not uploader.picker.busy


def test_a_missed_face_can_be_flagged_too(uploader, tmp_path):
    uploader.submit(np.full((300, 300), 128, np.uint8))
    assert [label for label, _ in uploader.flag_box.face.options] == ["the photo as a whole"]
    uploader.flag_box.correction.value = "a face was missed"
    assert uploader.flag().is_file()


def test_flag_says_when_nothing_can_be_written(uploader, tmp_path):
    (tmp_path / "flagged").write_text("in the way")
    uploader.submit(picture(2))
    uploader.flag_box.correction.value = "sad"
    assert uploader.flag() is None and "could not be stored" in uploader.flag_box.message.html


def test_trained_models_are_offered_and_used(tmp_path, tiny_model):
    folder = tmp_path / "runs" / "03_custom_cnn"
    folder.mkdir(parents=True)
    tiny_model(compiled=False).save(folder / "model.keras")
    (folder / "checkpoint.keras").write_bytes(b"not offered")
    uploader = EmotionUploader(EmotionDetector(AlwaysHappy()), tmp_path / "runs")
    assert uploader.model_list.options[0] == "AlwaysHappy" and "03_custom_cnn" in uploader.model_list.options
    assert not any("checkpoint" in name for name in uploader.model_list.options)
    uploader.model_list.value = "03_custom_cnn"
    (face,) = uploader.submit(picture(2))
    assert face.confidence < 0.8 and "Model: 03_custom_cnn" in uploader.message.html


def test_another_model_in_the_list_is_not_named_before_it_has_answered(tmp_path):
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()
    for seed, name in enumerate(("one", "two")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        keras.utils.set_random_seed(seed)
        layers = [
            keras.Input((48, 48, 1)),
            keras.layers.Conv2D(4, 3, strides=4, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(7, activation="softmax"),
        ]
        keras.Sequential(layers).save(tmp_path / "runs" / name / "model.keras")
    uploader = EmotionUploader(EmotionDetector(AlwaysHappy()), tmp_path / "runs", tmp_path / "flagged")
    uploader.model_list.value = "one"
    uploader.submit(np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8))
    uploader.model_list.value = "two"
    uploader.overlay.value = True
    assert "Model: one." in uploader.message.html
    assert uploader._keras == {"one": uploader.detector.model}
    uploader.flag_box.correction.value = "sad"
    uploader.flag()
    assert (tmp_path / "flagged" / "flagged.csv").read_text().splitlines()[1].endswith(",sad,one")
    uploader.submit(FACE)
    assert "Model: two." in uploader.message.html and list(uploader._keras) == ["one", "two"]


def test_a_model_that_cannot_be_loaded_is_said(tmp_path):
    (tmp_path / "runs" / "broken").mkdir(parents=True)
    (tmp_path / "runs" / "broken" / "model.keras").write_bytes(b"x")
    uploader = EmotionUploader(EmotionDetector(AlwaysHappy()), tmp_path / "runs")
    uploader.model_list.value = "broken"
    assert uploader.submit(picture(2)) == []
    assert "not a Keras model" in uploader.message.html and not uploader.picker.busy


def test_without_a_folder_there_is_nothing_to_offer(tmp_path):
    assert set(available_models(tmp_path / "none")) <= {"compact CNN (shipped)"}


def test_parts_of_a_file_are_put_together_and_too_many_files_are_cut_off():
    got, left_out, said = [], [], []
    picker = PhotoPicker(lambda files, lines: (got.append(files), left_out.append(lines)), said.append)
    send(picker, {"kind": "part", "name": "late.png", "first": False}, b"a part of a file that was never begun")
    send(picker, {"kind": "begin"})
    for content in (b"ab", b"cd", b""):
        send(picker, {"kind": "part", "name": "x.png", "first": content == b"ab"}, content)
    send(picker, {"kind": "too-large", "name": "film.mp4"})
    send(picker, {"kind": "end"})
    assert got == [[("x.png", b"abcd")]] and left_out == [["film.mp4 has more than 150 MB: choose a smaller one"]]
    send(picker, {"kind": "begin"})
    for i in range(60):
        send(picker, {"kind": "part", "name": f"{i}.png", "first": True}, b"x")
    send(picker, {"kind": "end"})
    assert len(got[1]) == 50
    assert left_out[1] == ["50 of 60 photos taken: choose the others once these are answered"]
    send(picker, {"kind": "no-camera", "reason": "none there"})
    assert said == ["the camera cannot be used (none there)"]


def test_what_was_left_out_stays_in_sight(uploader):
    """The browser's last message, that all has arrived, comes at once after the complaint."""
    send(uploader.picker, {"kind": "begin"})
    send(uploader.picker, {"kind": "too-large", "name": "<Big>.tif"})
    send(uploader.picker, {"kind": "end"})
    assert uploader.message.html == (
        "&lt;Big&gt;.tif has more than 150 MB: choose a smaller one.<br>Nothing was chosen."
    )
    send(uploader.picker, {"kind": "begin"})
    send(uploader.picker, {"kind": "too-large", "name": "Big.tif"})
    for i in range(79):
        send(uploader.picker, {"kind": "part", "name": f"{i}.png", "first": True}, FACE)
    send(uploader.picker, {"kind": "end"})
    lines = uploader.message.html.split("<br>")
    assert lines[0].startswith("Big.tif has more") and lines[1].startswith("50 of 80 photos taken")
    assert lines[2].startswith("Chosen: 0.png") and lines[2].endswith("Press Submit.") and len(uploader.chosen) == 50
    choose(uploader, ("me.png", FACE))
    assert uploader.message.html == "Chosen: me.png. Press Submit."


def test_what_is_private_is_sent_to_a_view_that_asks(monkeypatch):
    sent = []
    view = PrivateHTML()
    monkeypatch.setattr(view, "send", sent.append)
    view.html = "<b>x</b>"
    view._handle_custom_msg({"kind": "ready"}, [])
    assert sent == [{"kind": "html", "html": "<b>x</b>"}] * 2 and view.html == "<b>x</b>"
    assert "<b>x</b>" not in str(view.get_state())
