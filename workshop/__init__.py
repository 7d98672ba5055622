"""How the sample's faces, the shipped model and the shipped backbones were made. Run from a checkout."""
