"""A photo's first and later answers: ours, an ordinary Keras script's, and those of the package fer.

The photograph is NASA's portrait of Eileen Collins, as scikit-image carries it: one face. The Keras script is what most
tutorials show: OpenCV's Haar cascade finds the face, `model.predict` names it; its model is the compact one, the same
as ours. The package fer brings a Haar cascade and a network of 58 thousand parameters, by default quantised and run
through TensorFlow Lite. It needs other versions of some packages than this project: install `fer`, `tensorflow`,
`moviepy<2` and `setuptools<80` into an environment of their own, and name its interpreter in `$FER_PACKAGE_PYTHON`.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from benchmarks.side_by_side import Comparison, compare
from fer_utils.detector.detector import EmotionDetector
from fer_utils.models.compact_cnn import load_shipped
from fer_utils.models.keras_start import load_keras
from fer_utils.widgets.form import EmotionUploader

PYTHON_WITH_FER = "FER_PACKAGE_PYTHON"
# One at a time, as a camera brings them.
FACES = 10
ALONE = f"{FACES} faces one by one, warm"

KERAS_SCRIPT = """
import sys
import cv2, keras, numpy as np

model = keras.models.load_model(sys.argv[1])
finder = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")

def answer(path):
    grey = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    for x, y, width, height in finder.detectMultiScale(grey, 1.1, 5, minSize=(48, 48)):
        face = cv2.resize(grey[y : y + height, x : x + width], (48, 48))
        print(model.predict(face[np.newaxis, ..., np.newaxis], verbose=0))

answer(sys.argv[2])
"""
KERAS_WARM = """
faces = np.random.default_rng(0).integers(0, 256, (int(sys.argv[3]), 1, 48, 48, 1)).astype(np.uint8)
ways = {"photo": lambda: answer(sys.argv[2]), "predict": lambda: [model.predict(face, verbose=0) for face in faces]}
"""
FER_SCRIPT = """
import sys
import cv2
from fer.fer import FER

detector = FER()
print(detector.detect_emotions(cv2.imread(sys.argv[1])))
"""
FER_WARM = """
import os
import fer, keras, numpy as np, tensorflow as tf

faces = np.random.default_rng(0).uniform(-1, 1, (int(sys.argv[2]), 1, 64, 64)).astype(np.float32)
path = os.path.join(os.path.dirname(fer.__file__), "data", "emotion_model.hdf5")
model = keras.models.load_model(path, compile=False)
compiled = tf.function(lambda face: model(face, training=False))
ways = {
    "photo": lambda: detector.detect_emotions(cv2.imread(sys.argv[1])),
    "lite": lambda: [detector._classify_emotions(face) for face in faces],
    "predict": lambda: [model.predict(face[..., np.newaxis], verbose=0) for face in faces],
    "call": lambda: [model(face[..., np.newaxis], training=False) for face in faces],
    "function": lambda: [compiled(face[..., np.newaxis]) for face in faces],
}
"""
# What a script prints must not get between the answers.
QUIET = "import os, sys\nanswers = os.fdopen(os.dup(1), 'w')\nos.dup2(2, 1)\n"
SERVE = """
for name in sys.stdin:
    ways[name.strip()]()
    print("done", file=answers, flush=True)
"""


@contextmanager
def kept_warm(python: str, script: str, *arguments: str) -> Iterator[Callable[[str], None]]:
    """Keep a script in memory, with what it has loaded, and yield a function that makes it go one of its ways.

    That function raises a RuntimeError with the last line that the script wrote, should it have ended.

    Args:
        python: the interpreter.
        script: defines `ways`, functions without arguments by name.
        arguments: of the script.
    """
    command = [python, "-c", QUIET + script + SERVE, *arguments]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
    ):

        def go(way: str) -> None:
            with suppress(BrokenPipeError):
                print(way, file=process.stdin, flush=True)
            if not process.stdout.readline():
                errors.seek(0)
                raise RuntimeError((errors.read().strip() or "it ended without a word").splitlines()[-1])

        yield go


def measure() -> list[Comparison]:
    """Measure new processes, imports included; then models that are loaded, whole photos and faces alone."""
    with tempfile.TemporaryDirectory() as folder:
        photo, model = str(Path(folder) / "astronaut.jpg"), str(Path(folder) / "compact.keras")
        cv2.imwrite(photo, cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR))
        load_keras()
        load_shipped().save(model)
        return [*_imports(), *_against_keras(photo, model, folder), *_against_fer(photo)]


def _imports() -> list[Comparison]:
    plain = _process(sys.executable, "-c", "import tensorflow")
    return [
        compare(f"{what}, new process", "import tensorflow", _process(sys.executable, *arguments), plain, 2)
        for what, arguments in (
            ("import fer_utils", ("-c", "import fer_utils")),
            ("fer --help", ("-m", "fer_utils", "--help")),
        )
    ]


def _against_keras(photo: str, model: str, folder: str) -> list[Comparison]:
    name = "a Keras script, same model"
    new = _process(sys.executable, "-c", KERAS_SCRIPT, model, photo)
    rows = [compare("photo to answer, new process", name, _ours_anew(photo), new, 3)]
    detector, form = EmotionDetector(), _form(photo, folder)
    with kept_warm(sys.executable, KERAS_SCRIPT + KERAS_WARM, model, photo, str(FACES)) as script:
        for what, plain_way, ours, way, repeats in (
            ("photo to answer, warm", name, lambda: detector(photo), "photo", 10),
            ("Submit to result in the form, warm", "a Keras script, which shows nothing", form, "photo", 10),
            (ALONE, "model.predict, same model", _one_by_one(detector), "predict", 5),
        ):
            rows.append(compare(what, plain_way, ours, partial(script, way), repeats))
    return rows


def _against_fer(photo: str) -> list[Comparison]:
    python = os.environ.get(PYTHON_WITH_FER)
    if not python:
        print(f"The package fer is left out: ${PYTHON_WITH_FER} does not name a Python that has it.")
        return []
    name, detector = "the package fer", EmotionDetector()
    try:
        with kept_warm(python, FER_SCRIPT + FER_WARM, photo, str(FACES)) as script:
            script("photo")
            new = _process(python, "-c", FER_SCRIPT, photo)
            return [
                compare("photo to answer, new process", name, _ours_anew(photo), new, 3),
                compare("photo to answer, warm", name, lambda: detector(photo), partial(script, "photo"), 10),
                *(
                    compare(ALONE, f"fer's model, {how}", _one_by_one(detector), partial(script, way), 5)
                    for how, way in (
                        ("model.predict", "predict"),
                        ("model(x)", "call"),
                        ("tf.function", "function"),
                        ("quantised, TensorFlow Lite (its default)", "lite"),
                    )
                ),
            ]
    except (OSError, RuntimeError) as error:
        print(f"The package fer is left out: {error}")
        return []


def _ours_anew(photo: str):
    return _process(sys.executable, "-m", "fer_utils", "predict", photo)


def _process(*command: str):
    return lambda: subprocess.run(command, capture_output=True, check=True)


def _one_by_one(detector: EmotionDetector):
    faces = np.random.default_rng(0).integers(0, 256, (FACES, 1, 48, 48)).astype(np.uint8)
    return lambda: [detector.predict(face) for face in faces]


def _form(photo: str, folder: str):
    """Return a function that chooses the photo in the form and presses Submit, as the browser does."""
    form, content = EmotionUploader(output_dir=folder), Path(photo).read_bytes()

    def submit():
        form.clear()
        for message, parts in (
            ({"kind": "begin"}, []),
            ({"kind": "part", "name": "astronaut.jpg", "first": True}, [content]),
            ({"kind": "end"}, []),
        ):
            form.picker._handle_custom_msg(message, parts)
        form.submit_button.click()
        if not form.faces:
            raise RuntimeError(form.message.html)

    return submit
