"""Training the face generator; see `workshop.long_run` for how a run is stopped, resumed and shortened."""

import dataclasses

import keras
import numpy as np

from workshop.long_run import LongRun
from workshop.plan import Plan as LongPlan
from workshop.plan import load_weights as load_any_weights
from workshop.plan import save_weights
from workshop.sample.flow import NoisyFaces
from workshop.sample.network import WIDTHS, build_network

EARLY_NAME = "early.npz"

# After this part of the steps the averaged weights are kept once more, for `autoguidance` (see `flow.integrate`).
EARLY = 0.12


@dataclasses.dataclass
class Plan(LongPlan):
    """The settings of a run; `widths`, `blocks`, `condition_size` and `image_size` describe the network."""

    widths: tuple = WIDTHS
    blocks: int = 2
    condition_size: int = 128
    image_size: int = 48

    def network(self, dtype=None):
        """Build the network that this plan describes; `dtype` overrides the plan's own."""
        return build_network(tuple(self.widths), self.blocks, self.condition_size, self.image_size, dtype or self.dtype)


def usable_images(images):
    """Return the positions, `int64`, of the images to train on: not blank, and only the first of identical ones.

    `images` is `uint8 (n, 48, 48)`. An image seen three times as often is an image learned by heart.
    """
    flat = np.ascontiguousarray(images.reshape(len(images), -1))
    first = np.sort(np.unique(flat.view(f"V{flat.shape[1]}").ravel(), return_index=True)[1])
    return first[flat[first].std(axis=1) > 5.0]


def load_weights(path):
    """Read a run's `weights.npz`: the plan and the list of float32 arrays; `ValueError` if it is no such file."""
    return load_any_weights(path, Plan)


class Run(LongRun):
    """A training run of the generator; the loss is a mean squared velocity error (the pixels span 2).

    Args:
        folder: the run's folder.
        images: FER-2013's `Training` part, uint8 (n, 48, 48); blank and repeated images are left out here.
        labels: integers (n,) in 0..6.
        plan: the settings.

    Raises:
        ValueError: if the folder holds a run with other settings.
    """

    def __init__(self, folder, images, labels, plan):
        keep = usable_images(images)
        self.images, self.labels = images[keep], np.asarray(labels)[keep]
        self.make_batch = NoisyFaces(self.images, self.labels, plan.seed, plan.batch_size)
        super().__init__(folder, plan, lambda: self._build(plan))

    @staticmethod
    def _build(plan):
        model = plan.network()
        # XLA multiplies the time of a step by five on a CPU, so compilation is left to the backend's plain graph.
        model.compile(
            optimizer=keras.optimizers.AdamW(
                plan.learning_rate, weight_decay=plan.weight_decay, beta_2=0.99, global_clipnorm=1.0
            ),
            loss="mean_squared_error",
            jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
        )
        return model

    def save(self):
        """Write the checkpoint and the averaged weights; the first time after `EARLY` of the steps, these twice."""
        super().save()
        early = self.folder / EARLY_NAME
        if self.step >= EARLY * self.plan.steps and not early.exists():
            save_weights(early, self.average.weights, self.plan)
