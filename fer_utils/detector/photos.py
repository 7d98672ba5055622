"""Opening any photo: upright, in colour, not larger than needed; a clear line where that is not possible.

What a file claims to hold is checked before anything is decoded, so that a small file cannot fill the memory.
"""

import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fer_utils.common.errors import UserError

MOST_PIXELS = 50_000_000

# Faces are cut out of a copy of at most this size: there, one of a hundredth of the photo still has 19 pixels.
LONGEST_SIDE = 1920

# Pillow knows formats that start other programs (EPS) or hold no photos; these cannot be opened here.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

# How Matroska and WebM, MPEG, Flash, Ogg and Windows Media begin.
VIDEOS = (b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3", b"FLV", b"OggS", b"0&\xb2u")


@dataclass(frozen=True)
class Photo:
    """A photo, turned upright.

    `pixels` is uint8 (height, width, 3), red first, with at most 1920 pixels along the longer side. `size` is the
    (width, height) of the photo as it was given, upright.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    name: str = "the photo"

    @property
    def scale(self) -> float:
        """How many pixels of the photo as it was given make one of `pixels`."""
        return max(self.size) / max(self.pixels.shape[:2])


def open_photo(photo, name: str | None = None) -> Photo:
    """Open a photo.

    EXIF orientation is applied, transparent parts become white, 16-bit values are scaled to 8 bits; of an animation
    the first picture is taken. HEIC needs the package pillow-heif.

    Args:
        photo: a path, the bytes of a file, a PIL image, an array (height, width[, 1, 3 or 4]) in 0..255 (unsigned
            16 bits: 0..65535; floats also 0..1, as `plt.imread` returns them; bool: black and white), or a `Photo`,
            which is returned as it is.
        name: how error messages call it; by default the file's name.

    Raises:
        UserError: if it cannot be opened as a picture, or has more than 50 million pixels.
    """
    if isinstance(photo, Photo):
        return photo
    if isinstance(photo, np.ndarray):
        return _decoded(_from_array(photo, name or "the array"), name or "the array")
    if isinstance(photo, Image.Image):
        return _decoded(photo, name or "the picture", draft=False)
    if isinstance(photo, bytes | bytearray | memoryview):
        return _from_file(io.BytesIO(photo), name or "the photo")
    if not isinstance(photo, str | os.PathLike):
        raise UserError(f"a {type(photo).__name__} is no photo: give a path, bytes, a PIL image or an array")
    path, name = Path(photo), name or Path(photo).name or str(photo)
    if path.is_dir():
        raise UserError(f"{name} is a folder: name the pictures in it")
    try:
        with path.open("rb") as file:
            return _from_file(file, name)
    except FileNotFoundError as error:
        raise UserError(f"no such file: {photo}") from error
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror or error})") from error


def _from_file(file, name: str) -> Photo:
    start = file.read(32)
    file.seek(0)
    if not start:
        raise UserError(f"{name} is empty (0 bytes): choose another file")
    formats = FORMATS
    if start[4:8] == b"ftyp" and start[8:12] in HEIC_BRANDS:
        formats = _with_heic(name)
    try:
        with warnings.catch_warnings():
            # Above 89 million pixels Pillow warns; here that is an error anyway, with one line.
            warnings.simplefilter("ignore")
            image = Image.open(file, formats=formats)
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} claims to have more than 50 megapixels: make it smaller") from error
    except Exception as error:
        raise UserError(f"{name} {_what_it_is(start)}") from error
    return _decoded(image, name)


def _with_heic(name: str) -> tuple[str, ...]:
    try:
        import pillow_heif
    except ImportError as error:
        raise UserError(f"{name} is a HEIC picture: run 'pip install pillow-heif', or save it as JPEG") from error
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def _what_it_is(start: bytes) -> str:
    if start.startswith(b"PK\x03\x04"):
        return "is a zip archive, not a picture: unpack it first"
    if start.startswith(b"%PDF"):
        return "is a PDF, not a picture: save the picture as JPEG or PNG"
    if start[4:8] == b"ftyp" or start.startswith(VIDEOS) or start[8:11] == b"AVI":
        return "is a video, not a picture: save one moment of it as JPEG or PNG"
    return "is not a picture that can be opened: choose a JPEG or PNG file"


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    array = np.squeeze(array) if array.ndim > 3 else array
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or not array.size:
        raise UserError(f"{name} has the shape {array.shape}: a photo is (height, width[, 1, 3 or 4])")
    if array.dtype.kind not in "buif":
        raise UserError(f"{name} has the type {array.dtype}: a photo holds integers, floats or bools")
    if array.dtype.kind == "f":
        return Image.fromarray(_eight_bits(np.nan_to_num(array)))
    if array.dtype == np.uint16:
        array = array // 257
    elif array.dtype == bool:
        array = array * np.uint8(255)
    return Image.fromarray(np.clip(array, 0, 255).astype(np.uint8))


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Return floats as uint8: fractions, none of them above 1, are scaled by 255; what leaves 0..255 is cut off."""
    scale = 255 if values.max() <= 1 else 1
    return np.rint(np.clip(values * scale, 0, 255)).astype(np.uint8)


def _decoded(image: Image.Image, name: str, draft: bool = True) -> Photo:
    size = image.size
    if size[0] * size[1] > MOST_PIXELS:
        raise UserError(f"{name} has {size[0]}×{size[1]} pixels: make it smaller than 50 megapixels")
    try:
        if draft:
            # A JPEG can be decoded at a half, a quarter or an eighth of its size, in less time and memory.
            image.draft(None, tuple(max(1, side * LONGEST_SIDE // max(size)) for side in size))
        image.load()
        if image.format == "TIFF":
            # Pillow turns these itself while it loads them; older versions (10.4) name the upright size only then.
            size = image.size
        orientation = _orientation(image)
        if orientation > 1:
            image = ImageOps.exif_transpose(image)
        if orientation > 4:
            size = size[::-1]
        image = _in_colour(image)
        if max(image.size) > LONGEST_SIDE:
            image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.HAMMING, reducing_gap=2.0)
        if image.mode == "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        return Photo(np.asarray(image), size, name)
    except Exception as error:  # Damaged files make the decoders raise whatever they stumble over.
        raise UserError(f"{name} is cut off or damaged: fetch it again, or choose another file") from error


def _orientation(image: Image.Image) -> int:
    """Return how the camera was held, 1 to 8 as in EXIF; 1 where the file does not say, or says nonsense."""
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # A photo is worth showing even if what the camera noted beside it is damaged.
        return 1
    return orientation if orientation in range(1, 9) else 1


def _in_colour(image: Image.Image) -> Image.Image:
    """Return a copy in the mode RGBA if parts are transparent, RGB otherwise."""
    if image.mode.startswith(("I", "F")):
        values = np.nan_to_num(np.asarray(image, np.float32))
        # Sixteen bits, eight bits in a wider type, or fractions.
        values = values / 257 if values.max() > 255 else values
        return Image.fromarray(_eight_bits(values)).convert("RGB")
    transparent = image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info
    return image.convert("RGBA" if transparent else "RGB")
