"""Run by test_on_device.py in a process of its own, where Keras runs on JAX: prints what the tests look at, as JSON."""

import json
import sys
from pathlib import Path

import numpy as np

from fer_utils.models.keras_start import load_keras

load_keras()

from fer_utils.models.predict import predict  # noqa: E402
from workshop.model.on_device import OnDevice  # noqa: E402
from workshop.model.train import Plan, Run, Teacher, settings_of  # noqa: E402

folder = Path(sys.argv[1])
labels = np.arange(140) % 7
# The label shows as the brightness.
images = (36 * labels[:, None, None] + np.random.default_rng(0).integers(0, 20, (140, 48, 48))).astype(np.uint8)
# 98 of the pictures are learned from: 12 steps an epoch.
SETTINGS = {
    "batch_size": 8,
    "warmup": 2,
    "stem": 4,
    "widths": (4, 8),
    "blocks": 1,
    "validation_split": 0.3,
    "on_device": True,
}
CALM = {"brightness": 0.0, "contrast": 0.0, "mixup": 0.0, "erased": 0.0}


def run(name, teachers=(), **changed):
    plan = Plan(**{**SETTINGS, **(settings_of(teachers) if teachers else {}), **changed})
    return Run(folder / name, images, labels, plan, teachers=teachers)


def trained(name, teachers=(), **changed):
    made = run(name, teachers, **changed)
    device = OnDevice(made)
    made.train(save_every=50, show_progress=False, device=device)
    return made, device


whole, _ = trained("whole", steps=17, decay_from=9)
parts = run("parts", steps=17, decay_from=9)
device = OnDevice(parts)
for until in (3, 7):
    while parts.step < until:
        device.advance(until)
    device.write_back()
parts.save()
device.advance(11)  # done after the checkpoint, and lost with the process
again, _ = trained("parts", steps=17, decay_from=9)

long, _ = trained("long", steps=48, learning_rate=0.02, distortion=CALM, dropout=0.0, window=48)
teacher = Teacher(folder / "long")
student, beside = trained("student", [teacher], steps=30, views=2, trust=1.0, distortion=CALM, window=48)
first, second = (np.asarray(beside.answers[view, 48]) for view in (0, 1))
layer = beside.layer(48)
faces, _ = beside.changed(layer, beside._order(1), 5, 1 * beside.per_epoch)
expected = teacher.network().predict_on_batch(np.asarray(faces))

network = long.plan.network()
network.set_weights(long.average.weights)
difference = max(np.abs(a - b).max() for a, b in zip(whole.average.weights, again.average.weights, strict=True))
moved = max(np.abs(a - b).max() for a, b in zip(whole.average.weights, run("fresh").average.weights, strict=True))
print(
    json.dumps(
        {
            "difference": float(difference),
            "moved": float(moved),
            "same_weights": bool(
                all(
                    np.allclose(one, other, atol=1e-5)
                    for one, other in zip(whole.model.get_weights(), again.model.get_weights(), strict=True)
                )
            ),
            "rate": float(np.asarray(whole.model.optimizer.learning_rate)),
            "iterations": int(np.asarray(whole.model.optimizer.iterations)),
            "accuracy": float((predict(network, long.images).argmax(axis=1) == long.labels).mean()),
            "held": [len(long.validation[1]), len(student.validation[1])],
            "same_held": bool(np.array_equal(long.validation[0], student.validation[0])),
            "views": sorted(str(key) for key in beside.answers),
            "views_differ": bool(np.abs(first - second).max() > 1e-3),
            "answer_error": float(np.abs(second[5] - expected).max()),
            "log": (folder / "whole" / "log.csv").read_text().splitlines()[-1].split(",")[0],
        }
    )
)
