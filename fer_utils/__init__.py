"""What the notebooks share: reading FER-2013, training, scoring, plotting and predicting.

Importing this package loads neither TensorFlow nor Keras; what needs them (`models`, `training`, `explanation`) imports
them when it is used. docs/architecture.md shows the packages.
"""

from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE, USAGES

__version__ = "0.1.0"
__all__ = ["EMOTIONS", "IMAGE_SIZE", "USAGES", "__version__"]
