"""Beginning a training with the weights of an earlier one instead of random numbers."""

import json
from pathlib import Path

from fer_utils.common.errors import UserError
from fer_utils.common.files import checksum


def begin_with(path: str | Path, *models, output_dir: str | Path) -> dict:
    """Give models the weights of an earlier training of the same network.

    Together with a learning rate that rises anew this is a warm restart (Loshchilov & Hutter 2017, "SGDR: Stochastic
    gradient descent with warm restarts", arXiv:1608.03983).

    Args:
        path: the `model.keras` of the earlier training.
        models: of the network that was saved there, (n, 48, 48, 1) → (n, 7); changed in place.
        output_dir: where the new training's runs are kept. The file must lie elsewhere: it might be written anew, and
            the training could not be recognised any more after an interruption.

    Returns:
        What a record of the new training has to say about its beginning: "weights", a checksum of them, and "epochs",
        how many the earlier training took, or None if no history lies beside the file.

    Raises:
        UserError: if the file is missing, no model, or below `output_dir`, or if its weights do not fit.
    """
    from fer_utils.models.saved import load_model

    path = Path(path).expanduser()
    if path.resolve().is_relative_to(Path(output_dir).resolve()):
        raise UserError(
            f"{path} may be overwritten by this training; copy its folder to another place first, or keep this "
            "training in another one"
        )
    weights = load_model(path).get_weights()
    for model in models:
        wanted, found = [weight.shape for weight in model.get_weights()], [weight.shape for weight in weights]
        if wanted != found:
            raise UserError(
                f"the weights in {path} do not fit this network; it must be the same one, with the same width, and "
                "without augmentation in front, as every run's model.keras is"
            )
        model.set_weights(weights)
    history = path.with_name("history.json")
    epochs = len(json.loads(history.read_text(encoding="utf-8"))) if history.is_file() else None
    return {"weights": checksum(weights)[:16], "epochs": epochs}
