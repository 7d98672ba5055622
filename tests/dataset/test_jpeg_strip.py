"""Many JPEGs decoded with one call are what they are one by one, pixel for pixel, damaged ones included."""

import sys

import cv2
import numpy as np
import pytest
from helpers import picture, png, write_folder, write_zip

import fer_utils.dataset.read  # noqa: F401
from fer_utils.dataset import jpeg_strip, load_dataset
from fer_utils.dataset.jpeg_strip import decode_alike
from fer_utils.dataset.pictures import decode


def jpeg(image, quality=98, *settings) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, *settings])[1].tobytes()


def noisy(seed: int) -> np.ndarray:
    """Return a picture that needs every kind of code: uint8 (48, 48)."""
    noise = np.random.default_rng(seed).normal(0, 30, (48, 48))
    return (picture(seed) + noise).clip(0, 255).astype(np.uint8)


def scan_start(content: bytes) -> int:
    return content.index(jpeg_strip.SCAN_HEADER) + len(jpeg_strip.SCAN_HEADER)


def decoded(contents) -> tuple[np.ndarray, list[int]]:
    images = np.zeros((len(contents), 48, 48), np.uint8)
    return images, decode_alike(contents, images)


def check(contents) -> list[int]:
    """Assert that what was decoded is as one by one, and the rest untouched; return what is left."""
    images, rest = decoded(contents)
    for position, content in enumerate(contents):
        expected = 0 if position in rest else decode(content)[0]
        np.testing.assert_array_equal(images[position], expected, err_msg=str(position))
    return rest


@pytest.mark.parametrize("n", [2, 3, 8, 9, 100, jpeg_strip.MOST_AT_ONCE])
def test_pictures_saved_alike_are_decoded_at_once(n, monkeypatch):
    contents = [jpeg(noisy(seed)) for seed in range(min(n, 100))]
    calls = []
    imdecode = cv2.imdecode
    monkeypatch.setattr(jpeg_strip.cv2, "imdecode", lambda *given: calls.append(1) or imdecode(*given))
    images, rest = decoded((contents * n)[:n])
    assert rest == [] and len(calls) == 1
    for position, image in enumerate(images):
        np.testing.assert_array_equal(image, decode(contents[position % len(contents)])[0])


def test_each_quality_is_a_strip_of_its_own():
    assert check([jpeg(noisy(seed), quality=(90, 98, 60)[seed % 3]) for seed in range(20)]) == []


def restarts(content: bytes) -> bytes:
    return jpeg(noisy(1), 98, cv2.IMWRITE_JPEG_RST_INTERVAL, 6)


def colour(content: bytes) -> bytes:
    return jpeg(cv2.merge([noisy(1), noisy(2), noisy(3)]))


def marker_inside(content: bytes) -> bytes:
    start = scan_start(content)
    return content[: start + 200] + b"\xff\xd3" + content[start + 202 :]


def before_the_frame(content: bytes, segment: bytes) -> bytes:
    place = content.index(b"\xff\xc0")
    return content[:place] + segment + content[place:]


UNLIKE = {
    "empty": lambda content: b"",
    "text": lambda content: b"this is text",
    "PNG": lambda content: png(picture(1)),
    "colour": colour,
    "larger": lambda content: jpeg(np.zeros((64, 48), np.uint8)),
    "wider": lambda content: jpeg(np.zeros((48, 64), np.uint8)),
    "progressive": lambda content: jpeg(noisy(1), 98, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restart markers of its own": restarts,
    "cut short": lambda content: content[:-100],
    "no end marker": lambda content: content[:-2],
    "header alone": lambda content: content[: scan_start(content)],
    "marker in the scan": marker_inside,
    "255 at the end of the scan": lambda content: content[:-2] + b"\xff\xff\xd9",
    "length in the header wrong": lambda content: before_the_frame(content, b"\xff\xe0\x01\x00"),
    "something else in the header": lambda content: before_the_frame(content, b"\xff\xe1\x00\x04ab"),
    "a second frame": lambda content: before_the_frame(content, b"\xff\xc0" + jpeg_strip.GREY_FRAME + b"\x00"),
    "bytes before it": lambda content: b"x" + content,
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_anything_else_is_left_to_be_decoded_one_by_one(kind):
    alike = [jpeg(noisy(seed)) for seed in range(5)]
    # Twice, because what stands alone is left anyway.
    odd = UNLIKE[kind](alike[0])
    rest = check([*alike[:3], odd, *alike[3:], odd])
    assert {3, 6} <= set(rest)
    assert set(rest) == {3, 6} or odd[: scan_start(alike[0])] == alike[0][: scan_start(alike[0])]


def test_one_picture_alone_and_too_many_are_left():
    content = jpeg(noisy(0))
    assert check([content]) == [0] and check([]) == []
    n = jpeg_strip.MOST_AT_ONCE + 1
    assert decoded([content] * n)[1] == list(range(n))


def damaged(content: bytes, generator: np.random.Generator) -> bytes:
    """Change, drop or double some bytes of the scan, without a marker coming or going."""
    start = scan_start(content)
    scan = bytearray(content[start:-2])
    way, places = generator.integers(4), generator.integers(0, len(scan), 1 + generator.integers(5))
    if way == 0:
        for place in places:
            scan[place] = generator.integers(255)
    elif way == 1:
        del scan[places[0] :]
    elif way == 2:
        del scan[places[0] : places[0] + 20]
    else:
        scan[places[0] : places[0]] = scan[:200]
    sound = bytes(scan).rstrip(b"\xff").replace(b"\xff\x00", b"\xff").replace(b"\xff", b"\xff\x00")
    return content[:start] + sound + content[-2:]


@pytest.mark.parametrize("seed", range(20))
def test_damage_to_a_scan_stays_in_its_picture(seed):
    generator = np.random.default_rng(seed)
    contents = [jpeg(noisy(number), quality=(98, 70)[seed % 2]) for number in range(40)]
    for position in generator.choice(40, 12, replace=False):
        contents[position] = damaged(contents[position], generator)
    assert check(contents) == []


def test_strip_that_cannot_be_decoded_is_left(monkeypatch):
    contents = [jpeg(noisy(seed)) for seed in range(3)]
    monkeypatch.setattr(jpeg_strip.cv2, "imdecode", lambda *_: None)
    assert decoded(contents)[1] == [0, 1, 2]


def test_datasets_of_jpegs_are_read_in_strips(tmp_path, monkeypatch):
    files = {f"train/happy/Training_{seed:03}.jpg": jpeg(noisy(seed)) for seed in range(300)}
    expected = [decode(content)[0] for content in files.values()]
    monkeypatch.setattr(
        sys.modules["fer_utils.dataset.read"], "decode", lambda content: pytest.fail("decoded one by one")
    )
    for path in (write_zip(tmp_path / "a.zip", files), write_folder(tmp_path / "f", files)):
        np.testing.assert_array_equal(load_dataset(path, progress=False).images, expected)


def test_bad_files_among_jpegs_are_listed_and_the_rest_is_read(tmp_path):
    files = {f"train/happy/Training_{seed:03}.jpg": jpeg(noisy(seed)) for seed in range(300)}
    reasons = {7: "empty, or cannot be read", 8: "not a readable image", 290: "48×64 pixels instead of 48×48"}
    bad = {7: b"", 8: b"this is text", 290: jpeg(np.zeros((64, 48), np.uint8))}
    names = list(files)
    files |= {names[position]: content for position, content in bad.items()}
    files[names[100]] = colour(b"")
    dataset = load_dataset(write_zip(tmp_path / "a.zip", files), progress=False)
    assert {item.name: item.reason for item in dataset.skipped} == {names[n]: why for n, why in reasons.items()}
    assert dataset.notes == ["1 colour images were converted to grey"]
    expected = [decode(content)[0] for position, content in enumerate(files.values()) if position not in bad]
    np.testing.assert_array_equal(dataset.images, expected)


def test_headers_are_read_to_their_end():
    content = jpeg(noisy(0))
    header = content[: content.index(jpeg_strip.SCAN_HEADER)]
    frame = b"\xff\xc0" + jpeg_strip.GREY_FRAME + b"\x00"
    assert jpeg_strip._find_grey_frame(header) == header.index(frame)
    for broken in (b"xx" + header[2:], header + frame, header + b"\xff\xe0\x01\x00", header.replace(frame, b""), b""):
        assert jpeg_strip._find_grey_frame(broken) is None
