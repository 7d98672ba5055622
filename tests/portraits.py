"""Two portraits that are free to use, and a group photo made of them.

Eileen Collins comes with scikit-image, Grace Hopper with matplotlib; NASA and the US Navy took the photographs, which
are in the public domain.
"""

import matplotlib.cbook
import numpy as np
from PIL import Image
from skimage import data


def astronaut() -> np.ndarray:
    """Return Eileen Collins, uint8 (512, 512, 3); the tip of her nose is at x 225, y 129."""
    return data.astronaut()


def admiral() -> np.ndarray:
    """Return Grace Hopper, uint8 (600, 512, 3); the tip of her nose is at x 268, y 238."""
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return np.asarray(Image.open(path).convert("RGB"))


def group_photo() -> tuple[np.ndarray, np.ndarray]:
    """Return a photo of five, in several sizes, mirrored, dark, bright and tilted, and where their noses are."""
    ground = Image.fromarray(data.coffee()).resize((1400, 900))
    noses = []
    for picture, nose, size, place, mirrored, light in (
        (astronaut(), (225, 129), 420, (20, 20), False, 1.0),
        (admiral(), (268, 238), 360, (480, 40), True, 0.6),
        (astronaut(), (225, 129), 240, (900, 80), True, 1.3),
        (admiral(), (268, 238), 300, (120, 520), False, 1.0),
        (astronaut(), (225, 129), 330, (600, 500), True, 0.5),
    ):
        scale = size / picture.shape[1]
        person = Image.fromarray(np.clip(picture * light, 0, 255).astype(np.uint8))
        person = person.resize((size, round(picture.shape[0] * scale)), Image.Resampling.LANCZOS)
        x, y = nose[0] * scale, nose[1] * scale
        if mirrored:
            person, x = person.transpose(Image.Transpose.FLIP_LEFT_RIGHT), size - x
        ground.paste(person, place)
        noses.append((place[0] + x, place[1] + y))
    return np.asarray(ground.convert("RGB")), np.array(noses)
