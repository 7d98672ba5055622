"""Cross-entropy against labels that are not taken for certain. Importing this module imports Keras."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("fer_utils")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy for integer labels of which a share is spread evenly over all classes.

    A network that is rewarded for certainty goes on to sharpen answers that are right already, and learns wrong labels
    by heart (Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision", arXiv:1512.00567). Keras
    smooths one-hot labels only.

    Args:
        label_smoothing: the share, from 0 to below 1.
        settings: as for keras.losses.Loss.
    """

    def __init__(self, label_smoothing=0.1, name="smoothed_crossentropy", **settings):
        super().__init__(name=name, **settings)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """Return float (n,) from labels (n,) or (n, 1) and probabilities (n, classes)."""
        labels = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        targets = ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype)
        return keras.losses.categorical_crossentropy(targets, y_pred, label_smoothing=self.label_smoothing)

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
