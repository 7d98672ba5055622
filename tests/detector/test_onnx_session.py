"""Nothing of ONNX Runtime's own leaves the machine, whichever way it is started."""

import os
import subprocess
import sys

import pytest
from helpers import picture
from PIL import Image

WAYS = {
    "the command": ["-m", "fer_utils", "predict", "face.png"],
    "Python": ["-c", "from fer_utils.detector import EmotionDetector; EmotionDetector()('face.png')"],
    "the form": ["-c", "from fer_utils.widgets import EmotionUploader; EmotionUploader().detector('face.png')"],
}


@pytest.mark.parametrize("way", WAYS)
def test_no_usage_data_is_collected(tmp_path, way):
    """ONNX Runtime would write a device's identity and a queue of events into the user's cache folder at once."""
    Image.fromarray(picture(1)).save(tmp_path / "face.png")
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    places = dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA", "APPDATA"), str(home))
    subprocess.run([sys.executable, *WAYS[way]], check=True, cwd=tmp_path, env=kept | places, capture_output=True)
    assert [path for path in home.rglob("*") if "onnxruntime" in path.name.lower()] == []
