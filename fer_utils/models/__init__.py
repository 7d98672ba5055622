from fer_utils.models.augmentation import augmenter, transformations, with_augmentation, without_augmentation
from fer_utils.models.compact_cnn import compact_cnn, load_shipped
from fer_utils.models.custom_cnn import REGULARISATION, custom_cnn, softmax_output
from fer_utils.models.drawing import draw_architecture
from fer_utils.models.keras_start import load_keras
from fer_utils.models.predict import as_input, predict
from fer_utils.models.transfer import as_backbone_input, load_backbone, resnet50_classifier, vgg16_classifier

__all__ = [
    "REGULARISATION",
    "as_backbone_input",
    "as_input",
    "augmenter",
    "compact_cnn",
    "custom_cnn",
    "draw_architecture",
    "load_backbone",
    "load_keras",
    "load_shipped",
    "predict",
    "resnet50_classifier",
    "softmax_output",
    "transformations",
    "vgg16_classifier",
    "with_augmentation",
    "without_augmentation",
]
