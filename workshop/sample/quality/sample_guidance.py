"""How hard are generated faces to name, class by class, for several strengths of guidance?

    python -m workshop.sample.quality.sample_guidance --data archive.zip --weights runs/generator/weights.npz

Draws some faces of each class with each strength, screens them like `python -m workshop.sample draw`, and lets the
package's compact model name what is left, and PublicTest for comparison. `GUIDANCE` in
`workshop/sample/draw.py` was read off its table.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from fer_utils.common.labels import EMOTIONS
from fer_utils.dataset import load_dataset
from fer_utils.detector.shipped import ShippedModel
from workshop.sample.draw import AUTOGUIDANCE, STEPS, draw_faces, load_generator
from workshop.sample.make import SHARE
from workshop.sample.screen import face_likeness, screen
from workshop.sample.train import EARLY_NAME


def shares_named(model, images, labels):
    """Return the share that `model` names rightly of each class, and of all, a pandas.Series."""
    right = pd.Series(model.predict_once(images).argmax(axis=1) == labels)
    by_class = right.groupby(labels).mean()
    by_class.index = [EMOTIONS[code] for code in by_class.index]
    return pd.concat([by_class, pd.Series({"mean of classes": by_class.mean()})])


def main():
    """Draw, name, print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER-2013")
    parser.add_argument("--weights", type=Path, required=True, help="weights.npz of a run; early.npz lies beside it")
    parser.add_argument("--strengths", type=float, nargs="+", default=[1.5, 2.5, 4.0])
    parser.add_argument("--autoguidance", type=float, default=AUTOGUIDANCE)
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of the sampler")
    parser.add_argument("--share", type=float, default=SHARE, help="part of the faces that is kept")
    parser.add_argument("--faces", type=int, default=100, help="faces drawn of each class and strength")
    arguments = parser.parse_args()

    dataset, model = load_dataset(arguments.data), ShippedModel()
    (training, _), (public, public_labels) = dataset.subset("Training"), dataset.subset("PublicTest")
    velocity = load_generator(arguments.weights)
    early = load_generator(arguments.weights.with_name(EARLY_NAME))
    columns = {"real PublicTest": shares_named(model, public, public_labels)}
    likeness = {"real PublicTest": float(np.median(face_likeness(public[:500])))}
    for strength in arguments.strengths:
        images, labels = draw_faces(
            velocity,
            [arguments.faces] * len(EMOTIONS),
            # Another seed than that of the sample: these are not the faces that will be shipped.
            seed=1000,
            steps=arguments.steps,
            guidance=strength,
            early=early,
            autoguidance=arguments.autoguidance,
        )
        kept = screen(images, labels, training, public, arguments.share).kept
        columns[f"guidance {strength:g}"] = shares_named(model, images[kept], labels[kept])
        likeness[f"guidance {strength:g}"] = float(np.median(face_likeness(images)))
    table = pd.DataFrame(columns).map("{:.0%}".format)
    table.loc["likeness to a face, median"] = [f"{value:.2f}" for value in likeness.values()]
    print(table.to_string())


if __name__ == "__main__":
    main()
