"""What is light must stay light."""

import json
import os
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
        "import fer_utils.cli",
        "from fer_utils import analysis, cleaning, dataset, plots, labels, paths",
        "from fer_utils import models, training, augmentation, prediction, evaluation, results, runner",
        "import fer_utils.sample",
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
        ("from fer_utils import execution", ("numpy", "pandas", "matplotlib", "rfc3987_syntax")),
        ("from fer_utils import runner", ("rfc3987_syntax",)),
        ("from fer_utils import recorded, reference, results", ("jsonschema",)),
    ],
)
def test_what_takes_a_second_to_load_waits_until_it_is_needed(statement, not_loaded):
    code = f"import sys; {statement}; print([name for name in {not_loaded} if sys.modules.get(name)])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_module_that_was_done_without_can_be_imported_afterwards():
    code = """
import sys
from fer_utils.quiet import without_module
with without_module("colorsys"):
    try:
        import colorsys
    except ImportError:
        print("done without")
import colorsys
with without_module("colorsys"):
    import colorsys
print(colorsys.__name__)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[:2] == ["done without", "colorsys"]


def test_keras_starts_without_a_word_on_stderr():
    code = "from fer_utils.quiet import load_keras; load_keras()"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stderr == ""


@pytest.mark.parametrize("settings, loaded", [({}, False), ({"backend": "jax"}, True)])
def test_jax_is_loaded_with_keras_only_if_keras_runs_on_it(tmp_path, settings, loaded):
    pytest.importorskip("jax")
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    code = (
        "import sys; from fer_utils.quiet import load_keras; keras = load_keras(); "
        "print(keras.backend.backend(), 'jax' in sys.modules); import jax"
    )
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    environment |= {"KERAS_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == (["jax", "True"] if loaded else ["tensorflow", "False"])


def test_several_networks_predict_without_a_word():
    code = (
        "from fer_utils.quiet import load_keras\nkeras = load_keras()\nimport numpy as np\n"
        "for n in range(8):\n"
        "    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])\n"
        "    model.predict(np.zeros((2, 3)), verbose=0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stderr == found.stdout == ""


def test_held_stderr_is_shown_when_something_fails():
    code = (
        "import os\nfrom fer_utils.quiet import held_stderr\n"
        "with held_stderr():\n    os.write(2, b'from C++')\n    raise SystemExit(3)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 3 and "from C++" in found.stderr
