"""The uploader, driven without a browser."""

import io
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from fer_utils.prediction import EmotionDetector
from fer_utils.widgets import EmotionUploader

TAKEN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def uploader():
    from test_prediction import AlwaysHappy

    return EmotionUploader(EmotionDetector(AlwaysHappy()))


def face_bytes() -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((48, 48), 120, np.uint8)).save(content, "PNG")
    return content.getvalue()


def choose(uploader, content: bytes, name="me.png"):
    """Do what the browser does when a file is chosen."""
    uploader.upload.value = (
        {
            "name": name,
            "type": "image/png",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": TAKEN,
        },
    )


def test_choose_submit_shows_label_and_chart(uploader):
    assert uploader.submit_button.disabled
    choose(uploader, face_bytes())
    assert "me.png" in uploader.message.value and not uploader.submit_button.disabled
    uploader.submit_button.click()
    assert "happy" in uploader.message.value and "Predicted expression" in uploader.message.value
    assert [face.label for face in uploader.faces] == ["happy"]
    assert len(uploader.pictures.children) == 2
    assert all('<img alt="' in child.value for child in uploader.pictures.children)


def test_clear_forgets_everything(uploader):
    choose(uploader, face_bytes())
    uploader.submit_button.click()
    uploader.clear_button.click()
    assert uploader.faces == [] and uploader.upload.value == () and uploader.pictures.children == ()
    assert uploader.submit_button.disabled and "happy" not in uploader.message.value


def test_broken_file_shows_one_line_and_the_form_goes_on(uploader):
    choose(uploader, b"not a picture", "notes.jpg")
    uploader.submit_button.click()
    assert "not a picture that can be opened" in uploader.message.value
    assert uploader.pictures.children == ()
    choose(uploader, face_bytes())
    uploader.submit_button.click()
    assert "happy" in uploader.message.value


def test_no_face_is_said(uploader):
    assert uploader.submit(np.full((300, 300), 128, np.uint8)) == []
    assert "No frontal face found" in uploader.message.value


def test_a_result_replaces_the_one_before(uploader):
    uploader.submit(np.zeros((48, 48), np.uint8))
    uploader.submit(b"broken")
    assert uploader.faces == [] and uploader.pictures.children == ()


def test_file_name_is_shown_as_text(uploader):
    choose(uploader, face_bytes(), "<img src=x onerror=alert(1)>.png")
    assert "<img" not in uploader.message.value
