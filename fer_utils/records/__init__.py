from fer_utils.records.beside_reference import beside_reference
from fer_utils.records.chosen import augmentation_pair, frozen, reference, runs_of
from fer_utils.records.comparison import TOGETHER, comparison, load_predictions, styled
from fer_utils.records.documents import write_all_runs, write_model_card, write_readme
from fer_utils.records.keep import check, keep, load_recorded, results_folder
from fer_utils.records.run_record import load_results, record
from fer_utils.records.series import COMMANDS, ORIGINAL
from fer_utils.records.tables import series_table, table
from fer_utils.records.wording import after_how_much, augmented_how, began_with, optimizer, smoothing, trained_whole

__all__ = [
    "COMMANDS",
    "ORIGINAL",
    "TOGETHER",
    "after_how_much",
    "augmentation_pair",
    "augmented_how",
    "began_with",
    "beside_reference",
    "check",
    "comparison",
    "frozen",
    "keep",
    "load_predictions",
    "load_recorded",
    "load_results",
    "optimizer",
    "record",
    "reference",
    "results_folder",
    "runs_of",
    "series_table",
    "smoothing",
    "styled",
    "table",
    "trained_whole",
    "write_all_runs",
    "write_model_card",
    "write_readme",
]
