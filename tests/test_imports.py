"""What is light must stay light."""

import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "keras", "torch", "jax")
# What asks for help must not wait for these either.
SLOW = ("numpy", "cv2", "PIL", "pandas", "scipy", "sklearn", "matplotlib", "onnxruntime")
HELP = """
from fer_utils.cli import app
app(["--help"], standalone_mode=False)
"""


@pytest.mark.parametrize(
    "statement",
    [
        "import fer_utils",
        "import fer_utils.cli.main",
        "from fer_utils import audit, dataset, plots",
        "from fer_utils import models, training, detector, evaluation, records, runner, explanation, experiments",
        "import workshop.sample",
    ],
)
def test_no_framework_is_loaded(statement):
    code = f"import sys; {statement}; print([name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("statement", ["import fer_utils", HELP])
def test_the_package_and_the_help_are_there_at_once(statement):
    """How long that takes is measured by `make bench`; here, that nothing slow is loaded."""
    code = f"{statement}\nimport sys\nprint([name for name in {HEAVY + SLOW} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
    assert ("predict" in found.stdout) == (statement == HELP)


@pytest.mark.parametrize(
    ("statement", "not_loaded"),
    [
        # What is loaded in a process for each notebook.
        ("from fer_utils.runner import execute", ("numpy", "pandas", "matplotlib")),
        ("from fer_utils import records", ("fastjsonschema",)),
    ],
)
def test_what_takes_a_second_to_load_waits_until_it_is_needed(statement, not_loaded):
    code = f"import sys; {statement}; print([name for name in {not_loaded} if sys.modules.get(name)])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_keras_starts_without_a_word_on_stderr():
    code = "from fer_utils.models.keras_start import load_keras; load_keras()"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stderr == ""


def test_several_networks_predict_without_a_word():
    code = (
        "from fer_utils.models.keras_start import load_keras\nkeras = load_keras()\nimport numpy as np\n"
        "for n in range(8):\n"
        "    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])\n"
        "    model.predict(np.zeros((2, 3)), verbose=0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stderr == found.stdout == ""


def test_held_stderr_is_shown_when_something_fails():
    code = (
        "import os\nfrom fer_utils.models.keras_start import held_stderr\n"
        "with held_stderr():\n    os.write(2, b'from C++')\n    raise SystemExit(3)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 3 and "from C++" in found.stderr
