"""Opening a model that somebody saved."""

from pathlib import Path

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE
from fer_utils.common.probabilities import TWO_PICTURES, require_probabilities

READ_ARE = "read are .keras and .h5 files of Keras 3, and .onnx"


def load_model(path: str | Path):
    """Load a model of the series saved as `.keras`, or as `.h5`, and try it on two pictures.

    Raises:
        UserError: if the file is missing, is no Keras model, is damaged, was never built, answers another question, or
            answers with something else than probabilities.
    """
    path = Path(path)
    if path.is_dir():
        kind = "a folder in TensorFlow's SavedModel form" if (path / "saved_model.pb").is_file() else "a folder"
        raise UserError(f"{path} is {kind}; {READ_ARE}: save the model with model.save('model.keras')")
    if not path.is_file():
        raise UserError(f"no such model: {path}; train one with 'fer run', or give the path of a .keras file")
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()
    # Makes the layer known to Keras, for a model that was saved together with its augmentation.
    import fer_utils.models.random_affine  # noqa: F401

    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras, h5py, zipfile and zlib each have exceptions of their own for a damaged file.
        raise UserError(f"{path} is not a Keras model that can be loaded ({_reason(error)}); {READ_ARE}") from error
    try:
        asked, answered = model.input_shape, model.output_shape
    except Exception as error:
        raise UserError(f"{path} was saved before it was built: begin it with keras.Input((48, 48, 1))") from error
    # A model with several inputs or outputs has a list or a dict of shapes.
    shapes = [tuple(shape)[1:] if isinstance(shape, tuple) else shape for shape in (asked, answered)]
    if shapes != [(IMAGE_SIZE, IMAGE_SIZE, 1), (len(EMOTIONS),)]:
        raise UserError(f"{path} maps {asked} to {answered}, not (n, 48, 48, 1) to (n, 7)")
    try:
        # Called, not asked to predict: that would compile it first.
        answer = keras.ops.convert_to_numpy(model(TWO_PICTURES, training=False))
    except Exception as error:
        raise UserError(f"{path} cannot answer for two pictures at once ({_reason(error)})") from error
    require_probabilities(answer, path)
    return model


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
