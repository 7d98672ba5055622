"""Beginning a training where a finished compact model ended, and learning from its answers as well as from the labels.

About one label of FER-2013 in ten is wrong or disputable. A finished model's probabilities say which: a target halfway
between the label and such an answer is less noisy than the label alone (Furlanello et al. 2018, "Born-again neural
networks", arXiv:1805.04770). The pictures that the finished model was not trained on stay held out here too.
"""

from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from fer_utils.common.files import fingerprint, write_atomically
from fer_utils.common.labels import IMAGE_SIZE
from fer_utils.common.probabilities import with_temperature
from fer_utils.common.stored_weights import ONNX_FILE, SHIPPED, WEIGHTS_FILE, assets
from fer_utils.detector.shipped import ShippedModel
from fer_utils.models.compact_cnn import load_shipped
from workshop.model.export import uncalibrated_weights

# The answer to a face is the mean over these positions of it, in pixels, each with its mirror image.
POSITIONS = ((0, 0), (-3, -3), (-3, 3), (3, -3), (3, 3))

PICTURES_FOR_STATISTICS = 2048


class Start:
    """A finished compact model to begin with.

    Args:
        where: "shipped", or the folder that a run left its compact.npz and compact.onnx in.

    Raises:
        UserError: if the files are missing or hold something else.
    """

    def __init__(self, where: str | Path = SHIPPED):
        folder = assets() if str(where) == SHIPPED else Path(where)
        self.plain = load_shipped(folder / WEIGHTS_FILE)
        self.model = ShippedModel(folder / ONNX_FILE)
        self.fingerprint = fingerprint(folder / WEIGHTS_FILE)

    @property
    def about(self) -> dict:
        """Settings and provenance of the finished model."""
        return self.model.about

    @property
    def settings(self) -> dict:
        """What a plan takes from the finished model: its network, and the division into learned from and held out."""
        network = self.about["network"]
        return network | {"widths": tuple(network["widths"]), "start": self.fingerprint} | self.division

    @property
    def division(self) -> dict:
        """Which pictures of Training were held out, as a plan says it."""
        about = self.about
        # The first of these files did not say it yet.
        return {
            "split_seed": about.get("split_seed", about["seed"]),
            "validation_split": about.get("validation_split", 0.05),
        }

    def weights_for(self, network, images: np.ndarray) -> list[np.ndarray]:
        """Return weights with which `network`, which has normalisation layers, answers as the finished model does.

        Args:
            network: `compact_cnn` of the same sizes.
            images: uint8 (n, 48, 48), from which the normalisation's running statistics are taken.
        """
        return unfolded_weights(self.plain, network, images, self.about)

    def answers(self, images: np.ndarray, folder: Path) -> np.ndarray:
        """Return probabilities float32 (n, 7) of images (n, 48, 48), as soft as the network was before its calibration.

        They are kept in `folder`, so that a run that goes on need not wait for them again.
        """
        path = Path(folder) / "answers.npz"
        if path.exists():
            with np.load(path) as stored:
                if stored["of"].item() == self.fingerprint and len(stored["answers"]) == len(images):
                    return stored["answers"]
        positions = tqdm(POSITIONS, "answers of the finished model", unit="position", leave=False)
        total = sum(self.model.predict(moved(images, *position)) for position in positions)
        temperature, bias = self.about["temperature"], np.asarray(self.about.get("bias", 0.0))
        answers = with_temperature(total / len(POSITIONS), 1 / temperature, -temperature * bias).astype(np.float32)
        write_atomically(path, lambda file: np.savez(file, of=np.array(self.fingerprint), answers=answers))
        return answers


class FinishedTeacher:
    """A finished compact model that answers while another one learns, as `train.Teacher` is for a run's network.

    Args:
        where: "shipped", or the folder that a run left its compact.npz and compact.onnx in.

    Raises:
        UserError: if the files are missing or hold something else.
    """

    def __init__(self, where: str | Path = SHIPPED):
        self.finished = Start(where)
        self.fingerprint = self.finished.fingerprint

    @property
    def settings(self) -> dict:
        """What a student's plan takes from the teacher: the division into learned from and held out."""
        return {"teacher": self.fingerprint, **self.finished.division}

    def network(self):
        """Build the network, for faces of any size; it answers as softly as before its calibration."""
        import keras

        from fer_utils.models.compact_cnn import compact_cnn

        network = self.finished.about["network"]
        model = compact_cnn(**network, normalisation=False, image_size=None)
        model.set_weights(uncalibrated_weights(self.finished.plain.get_weights(), self.finished.about))
        model.compile(jit_compile=False if keras.backend.backend() == "tensorflow" else "auto")
        return model


def unfolded_weights(plain, network, images: np.ndarray, about: dict) -> list[np.ndarray]:
    """Undo `export.folded_weights`: give the convolutions a normalisation again, without changing the answers.

    A folded network has lost what its normalisation had measured, so that is measured again on `images`. The kernels
    are brought to the size of fresh ones, since weight decay and learning rate were chosen for such.

    Args:
        plain: the folded network.
        network: the same network built with normalisation layers; its weights are replaced.
        images: uint8 (n, 48, 48).
        about: what the file of the folded network says of its calibration.

    Returns:
        The weights of `network`, float32.
    """
    import keras

    convolutions = [layer for layer in plain.layers if layer.name.endswith("_conv")]
    outputs = [layer.output for layer in convolutions]
    moments = [keras.ops.mean(value, axis=(1, 2)) for y in outputs for value in (y, keras.ops.square(y))]
    x = images[:PICTURES_FOR_STATISTICS, ..., np.newaxis].astype(np.float32)
    found = keras.Model(plain.inputs, moments).predict(x, batch_size=128, verbose=0)
    means, squares = ([part.mean(axis=0) for part in found[offset::2]] for offset in (0, 1))
    for layer, mean, square in zip(convolutions, means, squares, strict=True):
        kernel, bias = layer.get_weights()
        fresh = np.sqrt(2 / np.prod(kernel.shape[:3]))
        larger = fresh / np.maximum(kernel.std(axis=(0, 1, 2)), 1e-6)
        network.get_layer(layer.name).set_weights([kernel * larger])
        norm = network.get_layer(layer.name.removesuffix("_conv") + "_norm")
        variance = np.maximum(square - mean**2, 0) * larger**2
        norm.set_weights([np.sqrt(variance + norm.epsilon) / larger, mean, (mean - bias) * larger, variance])
    network.layers[-1].set_weights(uncalibrated_weights(plain.layers[-1].get_weights(), about))
    return network.get_weights()


def moved(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return images (n, 48, 48) moved by some pixels; what comes in repeats the edge."""
    rows = np.clip(np.arange(IMAGE_SIZE) - down, 0, IMAGE_SIZE - 1)
    columns = np.clip(np.arange(IMAGE_SIZE) - right, 0, IMAGE_SIZE - 1)
    return images[:, rows[:, np.newaxis], columns]
