from fer_utils.audit.copies import (
    KINDS,
    across_parts,
    contradictions,
    find_copies,
    has_twin,
    label_pairs,
    score_limits,
    twins_in_training,
)
from fer_utils.audit.deduplicate import deduplicate
from fer_utils.audit.doubtful_labels import cross_validated_probabilities, suspicious_labels
from fer_utils.audit.files import BLANK_BELOW_SPREAD, audit_files, findings, kept_by_extension, report
from fer_utils.audit.near_copies import LEAST_CORRELATION, correlation, near_groups, near_pairs, perceptual_hashes
from fer_utils.audit.planted_faults import (
    found_defects,
    planted_defects,
    score_near_pairs,
    score_suspicions,
    wrongly_labelled,
)
from fer_utils.audit.statistics import class_weights, counts_by_emotion, mean_faces, pixel_statistics

__all__ = [
    "BLANK_BELOW_SPREAD",
    "KINDS",
    "LEAST_CORRELATION",
    "across_parts",
    "audit_files",
    "class_weights",
    "contradictions",
    "correlation",
    "counts_by_emotion",
    "cross_validated_probabilities",
    "deduplicate",
    "find_copies",
    "findings",
    "found_defects",
    "has_twin",
    "kept_by_extension",
    "label_pairs",
    "mean_faces",
    "near_groups",
    "near_pairs",
    "perceptual_hashes",
    "pixel_statistics",
    "planted_defects",
    "report",
    "score_limits",
    "score_near_pairs",
    "score_suspicions",
    "suspicious_labels",
    "twins_in_training",
    "wrongly_labelled",
]
