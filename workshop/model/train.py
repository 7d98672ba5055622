"""Training the compact model on FER-2013's Training part; see `workshop.long_run` for stopping and going on."""

import dataclasses
import functools
from pathlib import Path

import keras
import numpy as np

from fer_utils.acceleration.normalisation_kernel import fuse
from fer_utils.common.errors import UserError
from fer_utils.common.files import fingerprint
from fer_utils.common.labels import EMOTIONS
from fer_utils.dataset import split_validation
from fer_utils.models.compact_cnn import compact_cnn
from fer_utils.models.predict import predict
from workshop.long_run import LongRun
from workshop.model.augment import ChangedFaces, Distortion
from workshop.plan import FacePlan, load_weights

LABEL_SMOOTHING = 0.1

# Over so many steps the running averages of the normalisation reach back; the weights are averaged as well.
NORM_MOMENTUM = 0.95

# A network that knows its pictures already must be kept from learning them by heart: they are changed more, and the
# weights are held smaller.
SECOND_TRAINING = {
    "learning_rate": 1.5e-3,
    "weight_decay": 0.1,
    "trust": 0.6,
    "distortion": {"rotation": 20.0, "mixup": 0.4, "mixed": 0.7},
}

# A large network learns by heart all the sooner, and a student learns its teacher's answers to any picture, so both
# are shown pictures that are changed more.
CHANGED_MORE = {"rotation": 20.0, "mixup": 0.4, "mixed": 0.7}

TAUGHT = {"trust": 0.75, "distortion": CHANGED_MORE}

WIDE = {"weight_decay": 0.1, "distortion": CHANGED_MORE}


def smoothed(targets):
    """Return targets (n, 7) with the smoothing of labels in them; a teacher's answers are smooth already."""
    return (targets + LABEL_SMOOTHING * (1 / len(EMOTIONS) - targets)).astype(np.float32)


@dataclasses.dataclass
class Plan(FacePlan):
    """The settings of a run.

    `stem`, `widths`, `blocks`, `dropout` and `members` describe the network (`fer_utils.models.compact_cnn`).
    Temperature and choices come from the validation part; `split_seed` draws it (None: `seed` does). `start` is the
    fingerprint of the finished model that the run begins with, None for a run from fresh weights; `teacher` the one of
    a network that answers while this one learns, None without, or those of several. `on_device` says whether the
    pictures are changed where the network learns (`on_device.OnDevice`), which draws other numbers; `views` after how
    many epochs the same changed pictures come again there, so that a teacher has to answer to each only once, None for
    never.
    """

    steps: int = 13_000
    learning_rate: float = 2e-3
    warmup: int = 400
    stem: int = 32
    widths: tuple = (48, 96, 192)
    blocks: int = 2
    dropout: float = 0.3
    members: int = 1
    split_seed: int | None = None
    start: str | None = None
    teacher: str | None = None
    on_device: bool = False
    views: int | None = None

    def network(self, **changed):
        """Build the network that this plan describes."""
        return compact_cnn(**self.sizes | changed)

    @property
    def sizes(self):
        """The arguments of `compact_cnn` that describe the network, as a file can hold them."""
        sizes = {"stem": self.stem, "widths": list(self.widths), "blocks": self.blocks, "dropout": self.dropout}
        return sizes | ({"members": self.members} if self.members > 1 else {})


class Teacher:
    """A finished run of a larger network, whose answers a smaller one learns.

    It answers to the very picture that the student is shown, changed and blended as it is: then its answers are good
    for as long as the student learns (Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and
    consistent", arXiv:2106.05237).

    Args:
        folder: of the run.

    Raises:
        UserError: if no run was finished there.
    """

    FILE = "weights.npz"

    def __init__(self, folder):
        path = Path(folder) / self.FILE
        try:
            self.plan, self.weights = load_weights(path, Plan)
        except ValueError as error:
            raise UserError(f"no finished run to learn from: {error}") from error
        self.fingerprint = fingerprint(path)

    @property
    def settings(self):
        """What a student's plan takes from the teacher: the division into learned from and held out."""
        plan = self.plan
        split_seed = plan.seed if plan.split_seed is None else plan.split_seed
        return {"teacher": self.fingerprint, "split_seed": split_seed, "validation_split": plan.validation_split}

    def network(self):
        """Build the network, for faces of any size."""
        network = self.plan.network(image_size=None)
        network.set_weights(self.weights)
        network.compile(jit_compile=False if keras.backend.backend() == "tensorflow" else "auto")
        return network


def settings_of(teachers, start=None):
    """Return what a student's plan takes from its teachers: the division into learned from and held out.

    Args:
        teachers: `Teacher`s or `start.FinishedTeacher`s.
        start: the `start.Start` that the student begins with, if any.

    Raises:
        UserError: if they held out different pictures: then one of them knows what the student is validated on.
    """
    settings = [teacher.settings for teacher in teachers]
    divisions = [{**each, "teacher": ""} for each in settings] + ([{**start.division, "teacher": ""}] if start else [])
    if any(division != divisions[0] for division in divisions):
        raise UserError("these models held out different pictures: train them with the same seed and --validation")
    return {**settings[0], "teacher": "+".join(teacher.fingerprint for teacher in teachers)}


def divided(images, labels, plan):
    """Return which rows of Training a plan learns from and which it holds out, int64 (n,) and (m,)."""
    split_seed = plan.seed if plan.split_seed is None else plan.split_seed
    return split_validation(images, labels, plan.validation_split, split_seed)


class Run(LongRun):
    """A training run of the compact model; the loss is the cross-entropy against smoothed labels.

    Args:
        folder: the run's folder.
        images: FER-2013's Training part, uint8 (n, 48, 48).
        labels: integers (n,) in 0..6.
        plan: the settings.
        start: the `start.Start` that the plan names.
        teachers: the `Teacher`s or `start.FinishedTeacher`s that the plan names; what they say is averaged. With them,
            the finished model gives its weights only.

    Raises:
        ValueError: if the folder holds a run with other settings.
        UserError: if there are too few images to set a validation part aside.

    The attribute `validation` holds the images uint8 (m, 48, 48) and labels (m,) that are not learned from.
    """

    def __init__(self, folder, images, labels, plan, start=None, teachers=()):
        learned, held = divided(images, labels, plan)
        self.images, self.labels = images[learned], np.asarray(labels)[learned]
        self.validation = images[held], np.asarray(labels)[held]
        self.targets = np.eye(len(EMOTIONS), dtype=np.float32)[self.labels]
        keras.config.set_dtype_policy(plan.dtype)
        super().__init__(folder, plan, lambda: self._build(plan, start))
        self.teachers = [teacher.network() for teacher in teachers]
        if start and not teachers:
            self.targets += plan.trust * (start.answers(self.images, self.folder) - self.targets)
        self.make_batch = ChangedFaces(
            self.images, self.targets, plan.seed, plan.batch_size, Distortion(**plan.distortion)
        )
        # Scored with the averaged weights, which are what the run is for.
        self.averaged = plan.network()

    def _build(self, plan, start):
        normalisation = functools.partial(keras.layers.BatchNormalization, momentum=NORM_MOMENTUM)
        model = plan.network(normalisation=normalisation, image_size=None)
        if start:
            model.set_weights(start.weights_for(plan.network(), self.images))
        fuse(model)
        model.compile(
            keras.optimizers.AdamW(plan.learning_rate, weight_decay=plan.weight_decay),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.0 if plan.teacher else LABEL_SMOOTHING),
            # XLA multiplies the time of a step on a CPU.
            jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
        )
        return model

    def batch_arguments(self, step):
        """Return the step and the height and width in pixels of what the network is shown in it."""
        return step, self.plan.size_at(step)

    def completed(self, faces, targets):
        """Return the faces, and with a teacher the targets moved towards its answers."""
        if not self.teachers:
            return faces, targets
        answers = np.mean([teacher.predict_on_batch(faces) for teacher in self.teachers], axis=0, dtype=np.float32)
        targets = smoothed(targets)
        return faces, targets + self.plan.trust * (answers - targets)

    def learn(self, save_every=None):
        """Train to the end, on the accelerator if the plan says so.

        Args:
            save_every: steps between two checkpoints; None for an epoch's, at most 100, or ten epochs' on a GPU.
        """
        per_epoch = max(1, len(self.images) // self.plan.batch_size)
        if not self.plan.on_device:
            return self.train(save_every or min(per_epoch, 100), log_every=per_epoch)
        from workshop.model.on_device import OnDevice

        # An epoch there is a matter of a second or less, and a checkpoint takes as long.
        return self.train(save_every or 10 * per_epoch, log_every=5 * per_epoch, device=OnDevice(self))

    def smoothed_targets(self):
        """Return the targets float32 (n, 7) with the smoothing that otherwise the loss or `completed` does."""
        return smoothed(self.targets)

    def measure(self):
        """Return the accuracy of the averaged weights on the validation part."""
        images, labels = self.validation
        self.averaged.set_weights(self.average.weights)
        return {"val_accuracy": float((predict(self.averaged, images).argmax(axis=1) == labels).mean())}
