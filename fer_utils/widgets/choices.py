"""The models that the form offers."""

from pathlib import Path

from fer_utils.common.stored_weights import ONNX_FILE, SHIPPED, WEIGHTS_FILE, assets
from fer_utils.detector.detector import SHIPPED_NAME
from fer_utils.detector.shipped import ShippedModel
from fer_utils.models.compact_cnn import load_shipped
from fer_utils.models.keras_start import load_keras


def available_models(output_dir: str | Path | None = None) -> dict[str, object]:
    """Return what a detector can be made of, by the name to show: the shipped model, and trained ones in a folder.

    Args:
        output_dir: searched, with its subfolders, for files named model.keras.
    """
    found: dict[str, object] = {}
    if (assets() / ONNX_FILE).is_file():
        found[SHIPPED_NAME] = SHIPPED
    if output_dir and Path(output_dir).is_dir():
        for path in sorted(Path(output_dir).rglob("model.keras")):
            found[path.parent.relative_to(output_dir).as_posix()] = path
    return found


def as_keras(model):
    """Return the keras.Model to look into: the one given, or the twin of a model that runs in ONNX Runtime."""
    if not isinstance(model, ShippedModel):
        return model
    # So that what TensorFlow writes while it starts is not taken for an error.
    load_keras()
    return load_shipped(model.path.with_name(WEIGHTS_FILE))
