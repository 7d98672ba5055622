"""How every network of the detector is opened in ONNX Runtime."""

from pathlib import Path


def open_session(path: str | Path):
    """Return an `onnxruntime.InferenceSession` of an `.onnx` file, on the CPU, without messages on stderr."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Networks this small gain nothing from threads that wait for each other in a busy loop.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
