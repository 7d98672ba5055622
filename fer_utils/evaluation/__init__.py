from fer_utils.common.intervals import wilson_interval
from fer_utils.common.probabilities import mirror_averaged, negative_log_likelihood, with_temperature
from fer_utils.evaluation.calibration import (
    calibration_error,
    calibration_error_by_chance,
    fit_temperature,
    fit_temperature_and_bias,
    reliability,
)
from fer_utils.evaluation.comparing import compare_all, compare_models, in_words, styled
from fer_utils.evaluation.scores import TOGETHER, class_report, describe, majority_baseline, most_confused, score

__all__ = [
    "TOGETHER",
    "calibration_error",
    "calibration_error_by_chance",
    "class_report",
    "compare_all",
    "compare_models",
    "describe",
    "fit_temperature",
    "fit_temperature_and_bias",
    "in_words",
    "majority_baseline",
    "mirror_averaged",
    "most_confused",
    "negative_log_likelihood",
    "reliability",
    "score",
    "styled",
    "wilson_interval",
    "with_temperature",
]
