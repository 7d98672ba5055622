"""Looking at the data as a whole: counts, averages, weights."""

import numpy as np
import pandas as pd
from sklearn.utils.class_weight import compute_class_weight

from fer_utils.common.labels import EMOTIONS
from fer_utils.dataset import FerDataset


def counts_by_emotion(dataset: FerDataset) -> pd.DataFrame:
    """Return images per emotion for training and test, the way the original project tabulates them.

    Returns:
        One row an emotion, columns training, test (Public and Private together), and each one's share in percent.
    """
    counts = dataset.counts()
    table = pd.DataFrame(
        {
            "training": counts.reindex(["Training"], fill_value=0).sum(),
            "test": counts.reindex(["PublicTest", "PrivateTest"], fill_value=0).sum(),
        }
    ).rename_axis("emotion")
    for part in ("training", "test"):
        table[f"{part} percent"] = (100 * table[part] / max(table[part].sum(), 1)).round(1)
    return table


def mean_faces(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return float64 (7, 48, 48): the average picture of each emotion, 0..255; zeros for a class without images."""
    return np.stack(
        [images[labels == i].mean(axis=0) if (labels == i).any() else np.zeros(images.shape[1:]) for i in range(7)]
    )


def pixel_statistics(images: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Return mean brightness and mean contrast (standard deviation within a picture) of each emotion, grey levels."""
    flat = images.reshape(len(images), -1)
    table = pd.DataFrame({"emotion": labels, "brightness": flat.mean(axis=1), "contrast": flat.std(axis=1)})
    table = table.groupby("emotion").mean().reindex(range(len(EMOTIONS)))
    table.index = pd.Index(EMOTIONS, name="emotion")
    return table.round(1)


def class_weights(labels: np.ndarray) -> dict[int, float]:
    """Return the weight of each label for which every class counts equally (scikit-learn's "balanced").

    A class with k of n images in c classes weighs n / (c · k).
    """
    present = np.unique(labels)
    weights = compute_class_weight("balanced", classes=present, y=labels)
    return dict(zip(present.tolist(), weights.tolist(), strict=True))
