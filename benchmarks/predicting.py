"""A photo's first and later answers: `fer predict` against the same model through Keras, and against the package fer.

The photograph is NASA's portrait of Eileen Collins, as scikit-image carries it.
"""

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
from skimage import data

from benchmarks.side_by_side import Comparison, compare
from fer_utils.compact.shipped import load_shipped
from fer_utils.prediction import EmotionDetector
from fer_utils.quiet import load_keras

THROUGH_KERAS = """
import sys
from fer_utils.quiet import load_keras
load_keras()
from fer_utils.compact.shipped import load_shipped
from fer_utils.prediction import EmotionDetector
print(EmotionDetector(load_shipped())(sys.argv[1]))
"""
PACKAGE_FER = """
import sys, cv2
from fer.fer import FER
print(FER().detect_emotions(cv2.imread(sys.argv[1])))
"""


def measure() -> list[Comparison]:
    """Measure new processes, imports included, and a model that is warm."""
    with tempfile.TemporaryDirectory() as folder:
        photo = str(Path(folder) / "astronaut.jpg")
        cv2.imwrite(photo, cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR))
        ours = _process("-m", "fer_utils", "predict", photo)
        first = "photo to answer, new process"
        rows = [compare(first, "the same through Keras", ours, _process("-c", THROUGH_KERAS, photo), 3)]
        if importlib.util.find_spec("fer"):
            rows.append(compare(first, "the package fer", ours, _process("-c", PACKAGE_FER, photo), 3))
        load_keras()
        warm, keras_model = EmotionDetector(), EmotionDetector(load_shipped())
        rows.append(
            compare(
                "photo to answer, warm", "the same through Keras", lambda: warm(photo), lambda: keras_model(photo), 20
            )
        )
        return rows


def _process(*arguments: str):
    return lambda: subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
