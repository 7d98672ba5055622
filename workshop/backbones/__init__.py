"""VGG16 and ResNet50V2 trained on faces, for whoever cannot download the ImageNet weights.

`python -m workshop.backbones --help` lists the commands; docs/backbones.md is the card of what ships.
"""
