from fer_utils.explanation.grad_cam import feature_layer, grad_cam
from fer_utils.explanation.occlusion import occlusion_map
from fer_utils.explanation.randomisation import randomisation_check, randomised, right_and_wrong, similarity

__all__ = [
    "feature_layer",
    "grad_cam",
    "occlusion_map",
    "randomisation_check",
    "randomised",
    "right_and_wrong",
    "similarity",
]
