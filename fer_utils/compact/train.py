"""Training the compact model on FER-2013's Training part; see `fer_utils.longrun` for stopping and going on."""

import dataclasses
import functools

import keras
import numpy as np

from fer_utils.compact.augment import Distortion, training_batch
from fer_utils.compact.normalisation import FusedBatchNormalization
from fer_utils.dataset import split_validation
from fer_utils.evaluation import predict
from fer_utils.labels import EMOTIONS, IMAGE_SIZE
from fer_utils.longrun import LongRun
from fer_utils.longrun import Plan as LongPlan
from fer_utils.models import compact_cnn

LABEL_SMOOTHING = 0.1
# Over so many steps the running averages of the normalisation reach back; the weights are averaged as well.
NORM_MOMENTUM = 0.95
# A network that knows its pictures already must be kept from learning them by heart: they are changed more, and the
# weights are held smaller.
SECOND_TRAINING = {
    "learning_rate": 1.5e-3, "weight_decay": 0.1, "trust": 0.6,
    "distortion": {"rotation": 20.0, "mixup": 0.4, "mixed": 0.7},
}  # fmt: skip


@dataclasses.dataclass
class Plan(LongPlan):
    """The settings of a run.

    `stem`, `widths`, `blocks` and `dropout` describe the network (`fer_utils.models.compact_cnn`). `window` is the
    height and width in pixels that it is shown until the learning rate begins to fall; then it sees whole faces.
    Faces look larger in a window, and a network that meets them smaller afterwards gains (Touvron et al. 2019,
    "Fixing the train-test resolution discrepancy", arXiv:1906.06423); a third of the operations is saved as well.
    `validation_split` is the part of Training that is not learned from: temperature and choices come from it;
    `split_seed` draws it (None: `seed` does). `start` is the fingerprint of the finished model that the run begins
    with, None for a run from fresh weights, and `trust` the share of that model's answers in the targets. `distortion`
    holds what differs from the defaults of `augment.Distortion`.
    """

    steps: int = 13_000
    seed: int = 0
    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup: int = 400
    weight_decay: float = 0.05
    stem: int = 32
    widths: tuple = (48, 96, 192)
    blocks: int = 2
    dropout: float = 0.3
    window: int = 40
    validation_split: float = 0.05
    split_seed: int | None = None
    start: str | None = None
    trust: float = 0.0
    distortion: dict = dataclasses.field(default_factory=dict)

    def network(self, **changed):
        """Build the network that this plan describes."""
        settings = {"stem": self.stem, "widths": tuple(self.widths), "blocks": self.blocks, "dropout": self.dropout}
        return compact_cnn(**settings | changed)

    @property
    def whole_from(self):
        """The first training step in which whole faces are shown."""
        return (int(0.6 * self.steps) if self.decay_from is None else self.decay_from) + 1


class Run(LongRun):
    """A training run of the compact model; the loss is the cross-entropy against smoothed labels.

    Args:
        folder: the run's folder.
        images: FER-2013's Training part, uint8 (n, 48, 48).
        labels: integers (n,) in 0..6.
        plan: the settings.
        start: the `start.Start` that the plan names.

    Raises:
        ValueError: if the folder holds a run with other settings.
        UserError: if there are too few images to set a validation part aside.
    """

    def __init__(self, folder, images, labels, plan, start=None):
        split_seed = plan.seed if plan.split_seed is None else plan.split_seed
        learned, held = split_validation(images, labels, plan.validation_split, split_seed)
        self.images, self.labels = images[learned], np.asarray(labels)[learned]
        self.validation = images[held], np.asarray(labels)[held]
        self.targets = np.eye(len(EMOTIONS), dtype=np.float32)[self.labels]
        keras.config.set_dtype_policy(plan.dtype)
        super().__init__(folder, plan, lambda: self._build(plan, start))
        if start:
            self.targets += plan.trust * (start.answers(self.images, self.folder) - self.targets)
        # Scored with the averaged weights, which are what the run is for.
        self.averaged = plan.network()

    def _build(self, plan, start):
        normalisation = functools.partial(FusedBatchNormalization, momentum=NORM_MOMENTUM)
        model = plan.network(normalisation=normalisation, image_size=None)
        if start:
            model.set_weights(start.weights_for(plan.network(), self.images))
        model.compile(
            keras.optimizers.AdamW(plan.learning_rate, weight_decay=plan.weight_decay),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING),
            # XLA multiplies the time of a step on a CPU.
            jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
        )
        return model

    def batch(self, generator):
        """Return (faces, probabilities) of one training step.

        Every face comes once an epoch: the order of an epoch depends on the seed and the epoch alone.
        """
        size = self.plan.batch_size
        per_epoch = max(1, len(self.images) // size)
        epoch, position = divmod(self.step - 1, per_epoch)
        order = np.random.default_rng([self.plan.seed, epoch, 1]).permutation(len(self.images))
        chosen = order[position * size : (position + 1) * size]
        window = IMAGE_SIZE if self.step >= self.plan.whole_from else self.plan.window
        distortion = Distortion(**self.plan.distortion)
        return training_batch(self.images[chosen], self.targets[chosen], window, generator, distortion)

    def measure(self):
        """Return the accuracy of the averaged weights on the validation part."""
        images, labels = self.validation
        self.averaged.set_weights(self.average.weights)
        return {"val_accuracy": float((predict(self.averaged, images).argmax(axis=1) == labels).mean())}
