"""From trained weights to the embedded sample in one call: draw, screen, build the archive."""

from pathlib import Path

import numpy as np

from fer_utils.common.files import fingerprint
from fer_utils.common.labels import EMOTIONS
from workshop.sample.archive import build_archive
from workshop.sample.counts import base_counts
from workshop.sample.draw import AUTOGUIDANCE, GUIDANCE, GUIDED, STEPS, draw_faces, load_generator
from workshop.sample.screen import screen
from workshop.sample.train import EARLY_NAME, load_weights

# Part of the drawn faces of each class that is kept; the most broken ones go.
SHARE = 0.66

# How many more faces are drawn than `share` asks for, because the rules about real faces remove a few as well.
MARGIN = 1.13

# The same for disgust: with few real images to learn from, many a face is learned by heart, and the rule against that
# is stricter.
DISGUST_MARGIN = 4.0


def faces_needed(train_size, test_size):
    """Return how many clean faces of each class an archive of this size takes, `int64 (7,)`."""
    return sum(base_counts(train_size, test_size).values())


def draw_candidates(
    weights,
    seed=1,
    train_size=2800,
    test_size=700,
    steps=STEPS,
    guidance=GUIDANCE,
    guided=GUIDED,
    share=SHARE,
    batch_size=64,
    early=None,
    autoguidance=AUTOGUIDANCE,
):
    """Draw as many faces as an archive needs if `share` of them is kept, and a few more.

    Args:
        weights: path of a run's `weights.npz`.
        seed: decides the faces.
        train_size: as for `archive.build_archive`.
        test_size: as for `archive.build_archive`.
        steps: as for `flow.integrate`.
        guidance: as for `flow.integrate`.
        guided: as for `flow.integrate`.
        share: part of each class that will be kept, 0..1.
        batch_size: faces drawn at a time.
        early: path of the weights that the run kept early on, by default `early.npz` beside `weights`.
        autoguidance: as for `flow.integrate`; 1 needs no early weights.

    Returns:
        (images uint8 (n, 48, 48), labels int64 (n,), provenance), the last a dictionary for the manifest.

    Raises:
        ValueError: if the weights, or the early ones, cannot be read.
    """
    plan, _ = load_weights(weights)
    early = _early_weights(weights, early) if autoguidance > 1 else None
    margins = np.full(len(EMOTIONS), MARGIN)
    margins[EMOTIONS.index("disgust")] = DISGUST_MARGIN
    images, labels = draw_faces(
        load_generator(weights),
        np.ceil(faces_needed(train_size, test_size) / share * margins).astype("int64") + 2,
        seed,
        steps,
        guidance,
        guided,
        batch_size,
        plan.image_size,
        early=early and load_generator(early),
        autoguidance=autoguidance,
    )
    sampler = {"seed": seed, "steps": steps, "guidance": guidance, "guided_times": list(guided)}
    provenance = {
        "weights_sha256": fingerprint(weights),
        **({"early_weights_sha256": fingerprint(early)} if early else {}),
        "training_steps": plan.steps,
        "training_seed": plan.seed,
        "sampler": sampler | {"autoguidance": autoguidance, "dtype": plan.dtype},
    }
    return images, labels, provenance


def _early_weights(weights, early):
    """Return the path of the weights that the run kept early."""
    early = Path(early or Path(weights).with_name(EARLY_NAME))
    if not early.is_file():
        raise ValueError(f"{early} is missing; name the weights kept early with --early, or use --autoguidance 1")
    return early


def pack_sample(
    images, labels, provenance, training, public, folder, seed=1, train_size=2800, test_size=700, share=SHARE
):
    """Screen drawn faces and write the sample's four files.

    Args:
        images: drawn faces, uint8 (n, 48, 48).
        labels: their classes, integers (n,).
        provenance: from `draw_candidates`.
        training: FER-2013's `Training` images, uint8 (m, 48, 48).
        public: FER-2013's `PublicTest` images, uint8 (k, 48, 48).
        folder: where the files go.
        seed: decides which of the kept faces are taken, and the planted defects.
        train_size: as for `archive.build_archive`.
        test_size: as for `archive.build_archive`.
        share: part of each class that the rule about broken faces keeps, 0..1.

    Returns:
        The manifest, a dictionary.

    Raises:
        ValueError: if so many faces were removed that a class has too few.
    """
    needed = faces_needed(train_size, test_size)
    screened = screen(images, labels, training, public, share)
    chosen = []
    for code, emotion in enumerate(EMOTIONS):
        kept = screened.kept[labels[screened.kept] == code]
        if len(kept) < needed[code]:
            raise ValueError(
                f"only {len(kept)} of {needed[code]} faces of class {emotion} were kept; draw with a smaller share"
            )
        # The kept faces are in order of typicality; taking them at random keeps the stated share the only filter.
        chosen.append(np.random.default_rng([seed, code]).permutation(kept)[: needed[code]])
    chosen = np.concatenate(chosen)
    provenance = provenance | {"share_kept": share, "limits": screened.limits, "screening": screened.counts}
    return build_archive(images[chosen], labels[chosen], seed, folder, train_size, test_size, provenance)
