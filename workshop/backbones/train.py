"""Training a backbone on FER-2013's Training part, with the shipped model's answers as a second target."""

import dataclasses

import keras
import numpy as np

from fer_utils.acceleration.adam_kernel import fuse as fuse_adam
from fer_utils.acceleration.convolution_gradient import use_products
from fer_utils.acceleration.normalisation_kernel import fuse as fuse_normalisation
from fer_utils.common.files import write_atomically
from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE
from fer_utils.dataset import split_validation
from fer_utils.detector.shipped import ShippedModel
from fer_utils.models.predict import predict
from workshop.backbones.networks import trainable_network
from workshop.long_run import LongRun
from workshop.model.augment import ChangedFaces, Distortion
from workshop.model.train import smoothed
from workshop.plan import FacePlan

ANSWERS_FILE = "answers.npy"


@dataclasses.dataclass
class Plan(FacePlan):
    """The settings of a run; `architecture` is "VGG16" or "ResNet50V2", and `trust` is that in the shipped model."""

    architecture: str = "VGG16"
    steps: int = 2556
    learning_rate: float = 1e-3
    warmup: int = 213
    trust: float = 0.6
    dtype: str = "mixed_bfloat16"
    distortion: dict = dataclasses.field(
        default_factory=lambda: {
            "rotation": 12.0,
            "shift": 3.0,
            "scale": 0.15,
            "shear": 0.05,
            "brightness": 0.15,
            "contrast": 0.2,
            "erased": 0.25,
            "mixup": 0.2,
            "mixed": 0.25,
        }
    )


class Run(LongRun):
    """A training run of a backbone.

    Args:
        folder: the run's folder.
        images: FER-2013's Training part, uint8 (n, 48, 48).
        labels: integers (n,) in 0..6.
        plan: the settings.

    Raises:
        ValueError: if the folder holds a run with other settings.

    The attribute `validation` holds the images and labels that are not learned from.
    """

    def __init__(self, folder, images, labels, plan):
        learned, held = split_validation(images, labels, plan.validation_split, plan.seed)
        self.images, self.labels = images[learned], np.asarray(labels)[learned]
        self.validation = images[held], np.asarray(labels)[held]
        keras.config.set_dtype_policy(plan.dtype)
        super().__init__(folder, plan, lambda: self._build(plan))
        targets = smoothed(np.eye(len(EMOTIONS), dtype=np.float32)[self.labels])
        targets += plan.trust * (self._answers() - targets)
        self.make_batch = ChangedFaces(self.images, targets, plan.seed, plan.batch_size, Distortion(**plan.distortion))
        self.averaged = trainable_network(plan.architecture, IMAGE_SIZE)
        self.traced_for = None

    @staticmethod
    def _build(plan):
        model = trainable_network(plan.architecture)
        fuse_normalisation(model)
        model.compile(
            keras.optimizers.AdamW(plan.learning_rate, weight_decay=plan.weight_decay),
            loss="categorical_crossentropy",
            jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
        )
        fuse_adam(model.optimizer)
        use_products(model)
        return model

    def _answers(self) -> np.ndarray:
        """Return the shipped model's probabilities float32 (n, 7) for what is learned from; computed once a folder."""
        path = self.folder / ANSWERS_FILE
        if not path.exists():
            answers = ShippedModel().predict_once(self.images)
            write_atomically(path, lambda file: np.save(file, answers))
        return np.load(path)

    def batch_arguments(self, step):
        """Return the step and the height and width in pixels of what the network is shown in it."""
        return step, self.plan.size_at(step)

    def completed(self, faces, targets):
        """Return the faces and targets as they are, and let the network be ready for faces of this size."""
        if faces.shape[1] != self.traced_for:
            # Traced anew rather than for any size: the fast gradient needs to know the size of the maps.
            self.model.make_train_function(force=True)
            self.traced_for = faces.shape[1]
        return faces, targets

    def measure(self):
        """Return the accuracy of the averaged weights on the validation part."""
        images, labels = self.validation
        self.averaged.set_weights(self.average.weights)
        return {"val_accuracy": float((predict(self.averaged, images).argmax(axis=1) == labels).mean())}
