"""What is light must stay light, and what starts must start without a word."""

import json
import subprocess
import sys

import pytest

HEAVY = {"tensorflow", "keras", "torch", "jax"}
# What asks for help must not wait for these either. How long it takes is measured by `make bench`.
SLOW = HEAVY | {"numpy", "cv2", "PIL", "pandas", "scipy", "sklearn", "matplotlib", "onnxruntime"}
HELP = """
from fer_utils.cli.main import app
app(["--help"], standalone_mode=False)
"""
# What must not have been loaded after each of these, one after the other in one process: from light to less light.
STEPS = {
    "import fer_utils": SLOW,
    HELP: SLOW,
    # What is loaded in a process for each notebook.
    "from fer_utils.runner import execute": {"numpy", "pandas", "matplotlib"} | HEAVY,
    "import workshop.sample.commands, workshop.model.commands": HEAVY,
    "from fer_utils import audit, dataset, plots, evaluation, detector, records": HEAVY,
    "from fer_utils import models, training, runner, explanation, experiments": HEAVY,
}
KERAS = """
from fer_utils.models.keras_start import load_keras
keras = load_keras()
import numpy as np
from fer_utils.models import compact_cnn
for n in range(8):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.predict(np.zeros((2, 3)), verbose=0)
# TensorFlow's graph optimizer had an error message for whoever ran a network of several members.
network = compact_cnn(8, (8, 16), blocks=1, normalisation=False, members=2)
network.predict(np.zeros((40, 48, 48, 1), np.float32), verbose=0)
"""
HELD = """
import os
from fer_utils.models.keras_start import held_stderr
with held_stderr():
    os.write(2, b"from C++")
    raise SystemExit(3)
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.fixture(scope="module")
def loaded():
    """For each step, which modules had been loaded after it."""
    parts = ["import json, sys", "found = []"]
    for step in STEPS:
        parts += [step, "found.append([name for name, module in sys.modules.items() if module and '.' not in name])"]
    done = run("\n".join([*parts, "print(json.dumps(found))"]))
    assert done.returncode == 0 and "predict" in done.stdout, done.stderr
    return dict(zip(STEPS, map(set, json.loads(done.stdout.splitlines()[-1])), strict=True))


@pytest.mark.parametrize("step", STEPS)
def test_what_takes_long_to_load_waits_until_it_is_needed(loaded, step):
    assert loaded[step] & STEPS[step] == set()


def test_records_are_there_without_the_schema_that_only_keeping_one_needs():
    done = run("import sys; from fer_utils import records; print('fastjsonschema' in sys.modules)")
    assert done.stdout.strip() == "False"


def test_keras_and_its_networks_start_without_a_word():
    done = run(KERAS)
    assert done.returncode == 0 and done.stderr == done.stdout == ""


def test_held_stderr_is_shown_when_something_fails():
    done = run(HELD)
    assert done.returncode == 3 and "from C++" in done.stderr
