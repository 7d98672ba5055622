"""Opening a model that somebody saved."""

from pathlib import Path

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE
from fer_utils.common.probabilities import GREY, require_probabilities


def load_model(path: str | Path):
    """Load a model of the series saved as `.keras`.

    Raises:
        UserError: if the file is missing, is no Keras model, is damaged, answers another question, or answers with
            something else than probabilities.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such model: {path}; train one with 'fer run', or give the path of a .keras file")
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()
    # Makes the layer known to Keras, for a model that was saved together with its augmentation.
    import fer_utils.models.random_affine  # noqa: F401

    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras, h5py, zipfile and zlib each have exceptions of their own for a damaged file.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} is not a Keras model that can be loaded ({reason})") from error
    if model.input_shape[1:] != (IMAGE_SIZE, IMAGE_SIZE, 1) or model.output_shape[-1] != len(EMOTIONS):
        raise UserError(f"{path} maps {model.input_shape} to {model.output_shape}, not (n, 48, 48, 1) to (n, 7)")
    # Called, not asked to predict: that would compile it first.
    require_probabilities(keras.ops.convert_to_numpy(model(GREY, training=False)), path)
    return model
