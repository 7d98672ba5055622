"""What the notebooks share: reading FER-2013, training, scoring, plotting and predicting.

Importing this package loads neither TensorFlow nor Keras; what needs them (`models`, `training`, `explanation`) imports
them when it is used. docs/architecture.md shows the packages.
"""

import os

from fer_utils.common.labels import EMOTIONS, IMAGE_SIZE, USAGES

__version__ = "0.1.0"
__all__ = ["EMOTIONS", "IMAGE_SIZE", "USAGES", "__version__"]

# ONNX Runtime reports its use to its maker unless told otherwise before it is imported; nothing leaves this machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
