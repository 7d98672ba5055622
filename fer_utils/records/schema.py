"""Whether what a file holds is the record of a run."""

import functools
import json
from pathlib import Path

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS
from fer_utils.dataset import PUBLISHED_COUNTS

_NUMBER, _TEXT = {"type": "number"}, {"type": "string"}

_SCORE = {
    "type": "object",
    "required": ["n", "accuracy", "accuracy_ci95", "macro_f1", "confusion_matrix"],
    "properties": {
        "n": {"type": "integer"},
        "accuracy": _NUMBER,
        "accuracy_ci95": {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2},
        "macro_f1": _NUMBER,
        "confusion_matrix": {
            "type": "array",
            "minItems": 7,
            "maxItems": 7,
            "items": {"type": "array", "minItems": 7, "maxItems": 7, "items": {"type": "integer"}},
        },
    },
}

_CURVES = {"type": "array", "items": {"type": ["number", "null"]}}

RESULT = {
    "type": "object",
    "required": ["title", "name", "data", "weights", "epochs", "best_epoch", "seconds", "scores", "finished"],
    "properties": {
        "title": _TEXT,
        "name": _TEXT,
        "data": {
            "type": "object",
            "required": ["is_sample", "fingerprint"],
            "properties": {
                "is_sample": {"type": "boolean"},
                "is_fer2013": {"type": "boolean"},
                "problems": {"type": "array", "items": _TEXT},
                "fingerprint": _TEXT,
            },
        },
        "weights": _TEXT,
        "parameters": {"type": "integer"},
        "epochs": {"type": "integer"},
        "best_epoch": {"type": "integer"},
        "seconds": _NUMBER,
        "scores": {"type": "object", "minProperties": 1, "additionalProperties": _SCORE},
        "history": {"type": "object", "additionalProperties": _CURVES},
        "finished": _TEXT,
    },
}

"""What tables and reports need of a run's metrics.json; results/schema.json asks more of what is kept."""


@functools.cache
def _compiled(schema: str):
    import fastjsonschema

    return fastjsonschema.compile(json.loads(schema))


def read_record(path: Path, schema: Path | None = None) -> dict:
    """Return what a file holds if it is the record of a run.

    Args:
        path: a metrics.json, or one of the files in results/.
        schema: results/schema.json for one that is kept; `RESULT` if None.

    Raises:
        UserError: naming the file and the first thing that is missing or wrong.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if schema:
            check_record(record, schema)
        else:
            require(record, json.dumps(RESULT))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not the record of a run ({error})") from error
    return record


def require(record, schema: str) -> None:
    """Refuse what does not fit a schema.

    Raises:
        UserError: naming the first thing that is missing or wrong.
    """
    from fastjsonschema import JsonSchemaValueException

    try:
        _compiled(schema)(record)
    except JsonSchemaValueException as error:
        message = error.message.removeprefix("data.")
        raise UserError(f"the record {message[5:]}" if message.startswith("data ") else message) from error


def check_record(record: dict, schema: Path) -> None:
    """Compare a record with a schema, its figures with each other, and its data with the published FER-2013.

    Raises:
        UserError: naming the first thing that is missing or wrong.
    """
    require(record, schema.read_text(encoding="utf-8"))
    for name, score in [*record["scores"].items(), *record.get("mirrored", {}).items()]:
        matrix = score["confusion_matrix"]
        right = sum(matrix[i][i] for i in range(len(matrix)))
        if sum(map(sum, matrix)) != score["n"] or abs(right / score["n"] - score["accuracy"]) > 1e-9:
            raise UserError(f"{name}'s accuracy does not follow from its confusion matrix")
    for usage in ("Training", "PublicTest"):
        counts = record["data"]["counts"].get(usage, {})
        if tuple(counts.get(emotion) for emotion in EMOTIONS) != PUBLISHED_COUNTS[usage]:
            n, published = sum(counts.values()), sum(PUBLISHED_COUNTS[usage])
            raise UserError(f"it is not of FER-2013: {usage} has {n:,} pictures, not the published {published:,}")
    n, published = record["scores"]["PublicTest"]["n"], sum(PUBLISHED_COUNTS["PublicTest"])
    if n != published:
        raise UserError(f"it was scored on {n:,} pictures of PublicTest, which has {published:,}")
