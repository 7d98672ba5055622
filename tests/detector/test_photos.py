"""Opening photos: every form gives the same picture, every fault one clear line, and memory stays bounded."""

import io
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fer_utils.detector.photos  # noqa: F401
from fer_utils.common.errors import UserError
from fer_utils.detector.photos import Photo, open_photo


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A smooth picture in colour, uint8 (120, 160, 3), unlike its mirror image and its quarter turns."""
    y, x = np.mgrid[:120, :160]
    return np.dstack([x, 2 * y, np.hypot(x, y)]).astype(np.uint8)


def encoded(array, kind="PNG", **options) -> bytes:
    content = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(content, kind, **options)
    return content.getvalue()


def test_every_kind_of_input_gives_the_same_picture(tmp_path, picture):
    content = encoded(picture)
    (tmp_path / "p.png").write_bytes(content)
    kinds = [
        picture,
        Image.fromarray(picture),
        content,
        bytearray(content),
        memoryview(content),
        tmp_path / "p.png",
        str(tmp_path / "p.png"),
        encoded(np.dstack([picture, np.full((120, 160), 255, np.uint8)])),
        picture.astype(float),
        picture.astype(np.uint16) * 257,
        encoded(picture, "BMP"),
        encoded(picture, "TIFF"),
        encoded(picture, "WEBP", lossless=True),
        encoded(picture, "PPM"),
        picture[np.newaxis],
    ]
    for kind in kinds:
        opened = open_photo(kind)
        assert opened.pixels.dtype == np.uint8 and opened.size == (160, 120)
        np.testing.assert_allclose(opened.pixels.astype(int), picture, atol=1)


def test_an_open_photo_is_returned_as_it_is_and_a_given_image_is_not_changed(picture):
    photo = open_photo(picture)
    assert open_photo(photo) is photo
    given = Image.open(io.BytesIO(encoded(np.tile(picture, (20, 20, 1)), "JPEG")))
    before = given.size
    open_photo(given)
    assert given.size == before


def test_colour_is_kept_and_grey_becomes_three_equal_channels(picture):
    assert open_photo(picture).pixels.std(axis=2).max() > 20
    for grey in (picture[..., 0], picture[..., :1], encoded(picture[..., 0], "JPEG")):
        opened = open_photo(grey).pixels
        assert opened.shape == (120, 160, 3) and (opened == opened[..., :1]).all()
    assert set(np.unique(open_photo(np.eye(100, dtype=bool)).pixels)) == {0, 255}


def test_sixteen_bits_and_fractions_are_scaled(picture):
    grey = picture[..., 1]
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    fractions = Image.fromarray((grey / 255).astype(np.float32))
    for kind in (encoded(deep), encoded(deep, "TIFF"), encoded(fractions, "TIFF"), deep, fractions):
        np.testing.assert_allclose(open_photo(kind).pixels[..., 0].astype(int), grey, atol=1)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_an_array_of_fractions_is_not_black(picture, kind):
    """What plt.imread returns of a PNG, with and without transparency."""
    fractions = (picture / 255).astype(kind)
    np.testing.assert_allclose(open_photo(fractions).pixels.astype(int), picture, atol=1)
    opaque = np.dstack([fractions, np.ones((120, 160), kind)])
    np.testing.assert_allclose(open_photo(opaque).pixels.astype(int), picture, atol=1)
    np.testing.assert_array_equal(open_photo(picture.astype(np.float32) * 0.5).pixels, np.rint(picture * 0.5))
    dark = np.ones((60, 60), np.uint8)
    assert (open_photo(dark).pixels == 1).all(), "whole numbers are taken as they are"
    dark = fractions.copy()
    dark[0, 0] = np.nan
    assert (open_photo(dark).pixels[0, 0] == 0).all() and open_photo(dark).pixels.max() == picture.max()


@pytest.mark.parametrize("kind", [complex, object, "U1", "datetime64[s]"])
def test_an_array_of_another_type_is_one_clear_line(kind):
    with pytest.raises(UserError, match="the array has the type .*: a photo holds integers, floats or bools"):
        open_photo(np.zeros((60, 60), int).astype(kind))


def test_cmyk_and_palette_look_the_same(picture):
    cmyk = Image.fromarray(picture).convert("CMYK")
    np.testing.assert_allclose(open_photo(encoded(cmyk, "JPEG", quality=100)).pixels.astype(int), picture, atol=12)
    palette = Image.fromarray(picture).quantize(256)
    assert np.abs(open_photo(encoded(palette)).pixels.astype(int) - picture).mean() < 6


def test_transparent_parts_are_white(picture):
    hidden = np.zeros((120, 160), np.uint8)
    assert (open_photo(encoded(np.dstack([picture, hidden]))).pixels == 255).all()
    assert (open_photo(encoded(np.dstack([picture[..., 0], hidden]))).pixels == 255).all()
    palette = Image.fromarray(np.zeros((50, 50), np.uint8)).convert("P")
    assert (open_photo(encoded(palette, transparency=0)).pixels == 255).all()


def test_of_an_animation_the_first_picture_is_taken():
    first, second = (Image.new("RGB", (60, 40), colour) for colour in ("red", "blue"))
    for kind in ("GIF", "WEBP", "PNG"):
        pixel = open_photo(encoded(first, kind, save_all=True, append_images=[second])).pixels[20, 30]
        assert pixel[0] > 200 > 50 > pixel[2], kind


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright(picture, orientation):
    """What the camera stores is undone by the transposition that the orientation names."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = Image.fromarray(picture)
    stored = stored.transpose(undo[orientation]) if orientation > 1 else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Pillow turns a TIFF itself; of the others it leaves that to whoever opens them.
    for kind in ("PNG", "TIFF"):
        for given in (encoded(stored, kind, exif=exif), Image.open(io.BytesIO(encoded(stored, kind, exif=exif)))):
            opened = open_photo(given)
            assert opened.size == (160, 120), kind
            np.testing.assert_array_equal(opened.pixels, picture)


def test_damaged_exif_does_no_harm(picture):
    opened = open_photo(encoded(picture, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff nonsense"))
    assert opened.size == (160, 120)


def test_a_heic_picture_is_opened(picture):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    content = io.BytesIO()
    heif.from_pillow(Image.fromarray(picture)).save(content, quality=95)
    opened = open_photo(content.getvalue())
    assert opened.size == (160, 120) and np.abs(opened.pixels.astype(int) - picture).mean() < 6


def test_heic_without_its_library_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UserError, match="HEIC picture: run 'pip install pillow-heif'"):
        open_photo(b"\x00\x00\x00\x18ftypheic" + bytes(100))


def test_a_large_photo_is_kept_smaller_but_remembers_its_size():
    large = np.zeros((3000, 4000, 3), np.uint8)
    large[:, 2000:] = 200
    for content in (encoded(large, "JPEG"), encoded(large), large):
        opened = open_photo(content)
        assert opened.size == (4000, 3000) and max(opened.pixels.shape) <= 1920
        assert opened.scale == pytest.approx(4000 / opened.pixels.shape[1])
        assert opened.pixels[:, :900].mean() < 5 and opened.pixels[:, -900:].mean() > 195


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG whose header promises more than its few bytes hold: a decompression bomb's shape."""

    def chunk(kind, data):
        checked = kind + data
        return len(data).to_bytes(4, "big") + checked + zlib.crc32(checked).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    data = zlib.compress(bytes(10_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


BAD = {
    "empty": (b"", r"is empty \(0 bytes\)"),
    "text": (b"hello, this is no picture", "not a picture that can be opened"),
    "zip": (b"PK\x03\x04" + bytes(200), "is a zip archive"),
    "PDF": (b"%PDF-1.7 " + bytes(50), "is a PDF"),
    "video": (b"\x00\x00\x00\x18ftypmp42" + bytes(100), "is a video"),
    "EPS, which Pillow would hand to another program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a"),
    "60 megapixels": (png_that_claims(10_000, 6_000), "10000×6000 pixels: make it smaller than 50 megapixels"),
    "100 megapixels": (png_that_claims(10_000, 10_000), "10000×10000 pixels"),
    "a bomb": (png_that_claims(60_000, 60_000), "more than 50 megapixels"),
    "less than it claims": (png_that_claims(1000, 1000), "cut off or damaged"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_bytes_cost_one_clear_line_that_names_the_file(kind, tmp_path, recwarn):
    content, message = BAD[kind]
    (tmp_path / "me.jpg").write_bytes(content)
    for given, name in ((content, "the photo"), (tmp_path / "me.jpg", "me.jpg")):
        with pytest.raises(UserError, match=message) as error:
            open_photo(given)
        assert str(error.value).startswith(name) and "\n" not in str(error.value)
    assert not list(recwarn)


def test_missing_path_folder_and_what_is_no_photo_at_all(tmp_path):
    with pytest.raises(UserError, match="no such file: .*nothing.jpg"):
        open_photo(tmp_path / "nothing.jpg")
    with pytest.raises(UserError, match="is a folder: name the pictures in it"):
        open_photo(tmp_path)
    for given in (None, 3, ["a.jpg"]):
        with pytest.raises(UserError, match="is no photo"):
            open_photo(given)
    for shape in ((5,), (4, 4, 2), (0, 0), (2, 5, 5, 3)):
        with pytest.raises(UserError, match="has the shape"):
            open_photo(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_damage_anywhere_is_a_picture_or_one_clear_line(kind, picture):
    """Cut off at 20 places and with 60 wrong bytes: never another exception."""
    content = encoded(picture, kind)
    generator = np.random.default_rng(0)
    broken = [content[: len(content) * i // 20] for i in range(20)]
    for _ in range(60):
        changed = bytearray(content)
        changed[generator.integers(len(changed))] = generator.integers(256)
        broken.append(bytes(changed))
    failed = 0
    for data in broken:
        try:
            assert open_photo(data).pixels.ndim == 3
        except UserError as error:
            failed += 1
            assert "\n" not in str(error)
    assert failed >= 10


def test_the_limit_on_pixels_holds_for_arrays_too(monkeypatch, picture):
    monkeypatch.setattr(sys.modules["fer_utils.detector.photos"], "MOST_PIXELS", 1000)
    with pytest.raises(UserError, match="160×120 pixels"):
        open_photo(picture)


@pytest.mark.skipif(sys.platform == "win32", reason="the module resource is missing there")
@pytest.mark.parametrize("kind, limit", [("JPEG", 150), ("PNG", 450), ("bomb", 40)])
def test_memory_stays_bounded(kind, limit, tmp_path):
    """The largest photo that is allowed, 49 megapixels (147 MB decoded), and a bomb; in megabytes above the start."""
    path = tmp_path / "large"
    if kind == "bomb":
        path.write_bytes(png_that_claims(60_000, 60_000))
    else:
        Image.new("RGB", (7000, 7000), (90, 120, 30)).save(path, kind)
    code = (
        "import resource, sys\nfrom fer_utils.common.errors import UserError\n"
        "from fer_utils.detector.photos import open_photo\n"
        "unit = 1e6 if sys.platform == 'darwin' else 1e3\n"
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit\n"
        f"before = most()\ntry:\n    open_photo({str(path)!r})\nexcept UserError:\n    pass\nprint(most() - before)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(found.stdout) < limit


def test_name_is_the_file_name_or_what_is_given(picture, tmp_path):
    (tmp_path / "p.png").write_bytes(encoded(picture))
    assert open_photo(tmp_path / "p.png").name == "p.png"
    assert open_photo(encoded(picture), "mine.png").name == "mine.png"
    assert isinstance(open_photo(picture), Photo) and Path(open_photo(tmp_path / "p.png").name).suffix == ".png"


@pytest.mark.parametrize(
    "start", [b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"FLV\1", b"OggS", b"RIFF\0\0\0\0AVI ", b"\0\0\0 ftypisom"]
)
def test_a_video_of_whatever_kind_is_named_as_such(start):
    with pytest.raises(UserError, match="is a video, not a picture"):
        open_photo(start + bytes(100))
