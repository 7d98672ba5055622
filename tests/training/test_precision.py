"""The number format is chosen by measuring, once on each machine, and only where the hardware has it."""

import json
import sys

import numpy as np
import pytest

import fer_utils.training.precision  # noqa: F401
from fer_utils.common.paths import cache_folder
from fer_utils.models.keras_start import load_keras
from fer_utils.training import precision

keras = load_keras()


@pytest.fixture(autouse=True)
def policy_as_before():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture
def measured(monkeypatch):
    """Replace the measurement: `measured(speedup)` returns the list that grows by one with each."""

    def pretend(speedup, hardware=True):
        calls = []

        def measure():
            calls.append(1)
            if isinstance(speedup, Exception):
                raise speedup
            return speedup

        monkeypatch.setattr(sys.modules["fer_utils.training.precision"], "measure_speedup", measure)
        monkeypatch.setattr(sys.modules["fer_utils.training.precision"], "_has_bfloat16", lambda: hardware)
        monkeypatch.setattr(sys.modules["fer_utils.training.precision"], "_gpus", list)
        return calls

    return pretend


@pytest.mark.parametrize("name", ["float32", "mixed_bfloat16"])
def test_a_name_is_obeyed_without_measuring(name, measured):
    calls = measured(0.1)
    assert precision.choose_precision(name) == name == keras.config.dtype_policy().name
    assert not calls and precision.why_precision() == f"{name}: as asked"


@pytest.mark.parametrize("speedup, expected", [(2.0, "mixed_bfloat16"), (1.05, "float32"), (0.3, "float32")])
def test_the_faster_format_is_chosen_and_said(speedup, expected, measured):
    measured(speedup)
    assert precision.choose_precision() == expected == keras.config.dtype_policy().name
    assert precision.why_precision().startswith(f"{expected}: ")
    assert f"{speedup:.1f} times as fast" in precision.why_precision()


def test_hardware_without_it_is_not_measured(measured):
    calls = measured(9.0, hardware=False)
    assert precision.choose_precision() == "float32" and not calls
    assert "no instructions" in precision.why_precision()


def test_a_gpu_is_measured_whatever_the_processor_has(measured, monkeypatch):
    calls = measured(2.0, hardware=False)
    monkeypatch.setattr(sys.modules["fer_utils.training.precision"], "_gpus", lambda: ["gpu:0"])
    assert precision.choose_precision() == "mixed_bfloat16" and calls


def test_measured_once_on_a_machine(measured):
    measured(2.0)
    assert precision.choose_precision() == "mixed_bfloat16"
    again = measured(0.5)
    assert precision.choose_precision() == "mixed_bfloat16" and not again
    (kept,) = cache_folder().glob("precision-*.json")
    assert json.loads(kept.read_text()) == {"speedup": 2.0}


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"speedup": null}'])
def test_a_damaged_note_is_measured_anew(measured, damage):
    measured(2.0)
    precision.choose_precision()
    (kept,) = cache_folder().glob("precision-*.json")
    kept.write_text(damage)
    again = measured(0.5)
    assert precision.choose_precision() == "float32" and again


def test_without_a_cache_folder_it_is_measured_each_time(measured, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "file" / "below"))
    calls = measured(2.0)
    assert [precision.choose_precision(), precision.choose_precision()] == ["mixed_bfloat16"] * 2
    assert len(calls) == 2


def test_hardware_that_fails_gets_float32(measured):
    measured(RuntimeError("no kernel"))
    assert precision.choose_precision() == "float32"
    assert "failed on this machine (RuntimeError)" in precision.why_precision()
    assert not list(cache_folder().glob("precision-*.json"))


def test_the_measurement_itself_works_and_draws_no_random_number():
    def drawn(measure):
        keras.utils.set_random_seed(5)
        if measure:
            assert 0.01 < precision.measure_speedup() < 100
        layer = keras.layers.Dense(3)
        layer.build((None, 4))
        return [*layer.get_weights()[0].ravel(), np.random.random(), *keras.random.uniform((2,)).numpy()]

    assert drawn(measure=True) == drawn(measure=False)


def test_this_machine_is_described_the_same_way_twice():
    assert precision._machine([]) == precision._machine([]) != precision._machine(["gpu:0"])
