"""The models of the series: their titles, what the original reports of them, and which runs may stand for them."""

SERIES = {
    "custom_cnn": "Custom CNN",
    "custom_cnn_augmented": "Custom CNN with augmentation",
    "vgg16": "VGG16",
    "resnet50v2": "ResNet50V2",
    "compact": "Compact CNN",
}

# What the project that this series began from reports, without saying on which part or how many images.
ORIGINAL = {"custom_cnn": "52.54 %", "custom_cnn_augmented": "57.93 %", "vgg16": "63.53 %", "resnet50v2": "97 %"}

COMMANDS = {
    "custom_cnn": "fer run --profile full --only 03",
    "custom_cnn_augmented": "fer run --profile full --only 04",
    "vgg16": "fer run --profile full --only 05",
    "resnet50v2": "fer run --profile full --only 06",
    "compact": "python -m workshop.model compact",
}

# How the notebooks call the runs that may stand for a model.
RUNS = {
    "custom_cnn": ("03_custom_cnn", "04_without_augmentation"),
    "custom_cnn_augmented": ("04_with_augmentation",),
    "vgg16": ("05_vgg16",),
    "resnet50v2": ("06_resnet50v2",),
}

# The most telling start first.
WEIGHTS = ("imagenet", "none", "file", "random")

# A transfer model is only what it is called when it started from ImageNet.
NEEDS_IMAGENET = ("vgg16", "resnet50v2")
