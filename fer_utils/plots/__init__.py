from fer_utils.plots.curves import learning_curves, step_sizes
from fer_utils.plots.data import counts_chart, pixel_histograms
from fer_utils.plots.experiments import protocol_chart, remedy_chart, seeds_chart
from fer_utils.plots.finish import alternative_text, finish
from fer_utils.plots.heat_maps import heat_rows, overlay, randomisation_chart, right_and_wrong_chart
from fer_utils.plots.pictures import class_grid, confident_mistakes, copies_grid, image_grid, suspicions_grid
from fer_utils.plots.scores import accuracy_chart, confusion_chart, draw_confusion, probability_chart, reliability_chart

__all__ = [
    "alternative_text",
    "finish",
    "accuracy_chart",
    "class_grid",
    "confident_mistakes",
    "confusion_chart",
    "copies_grid",
    "counts_chart",
    "draw_confusion",
    "heat_rows",
    "image_grid",
    "learning_curves",
    "overlay",
    "pixel_histograms",
    "probability_chart",
    "protocol_chart",
    "randomisation_chart",
    "reliability_chart",
    "remedy_chart",
    "right_and_wrong_chart",
    "seeds_chart",
    "step_sizes",
    "suspicions_grid",
]
