"""The number format follows from what the hardware has instructions for."""

import subprocess
from types import SimpleNamespace

import pytest

from fer_utils.models.keras_start import load_keras
from fer_utils.training import precision

keras = load_keras()


@pytest.fixture(autouse=True)
def policy_as_before():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A function that describes the machine: the processor's flags, and what NVIDIA's tool says of a GPU, if any."""

    def describe(flags="", capability=None):
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"processor : 0\nflags\t\t: fpu {flags}\n\nprocessor : 1\nflags : none\n")
        monkeypatch.setattr(precision, "Path", lambda _: cpuinfo)
        monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: ["gpu:0"] if capability else [])
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=f"{capability}\n"))

    return describe


@pytest.mark.parametrize("name", ["float32", "mixed_bfloat16"])
def test_a_name_is_obeyed(name, machine):
    machine(capability="7.5")
    assert precision.choose_precision(name) == name == keras.config.dtype_policy().name
    assert precision.why_precision() == f"{name}: as asked"


@pytest.mark.parametrize(
    "described, expected, reason",
    [
        ({"flags": "avx512_bf16"}, "mixed_bfloat16", "this processor has instructions"),
        ({"flags": "sse amx_bf16 amx_tile"}, "mixed_bfloat16", "this processor has instructions"),
        ({"flags": "avx2 not_avx512_bf16"}, "float32", "this processor has no instructions"),
        ({"capability": "9.0"}, "mixed_bfloat16", "this GPU has instructions"),
        ({"capability": "7.5", "flags": "amx_bf16"}, "float32", "this GPU has no instructions"),
        ({"capability": "9.0\n7.0"}, "float32", "this GPU has no instructions"),
        ({"capability": "[N/A]"}, "float32", "this GPU has no instructions"),
    ],
)
def test_the_hardware_decides_and_the_reason_is_said(described, expected, reason, machine):
    machine(**described)
    assert precision.choose_precision() == expected == keras.config.dtype_policy().name
    assert precision.why_precision() == f"{expected}: {reason} for 16-bit numbers"


def test_a_gpu_without_nvidias_tool_computes_with_32_bits(machine, monkeypatch):
    machine(capability="9.0")

    def missing(*_, **__):
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(subprocess, "run", missing)
    assert precision.choose_precision() == "float32"


def test_a_system_without_a_description_of_its_processor_computes_with_32_bits(machine, monkeypatch, tmp_path):
    machine()
    monkeypatch.setattr(precision, "Path", lambda _: tmp_path / "not_there")
    assert precision.choose_precision() == "float32"
