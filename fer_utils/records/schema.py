"""Whether what a file holds is the record of a run."""

import functools
import json
from pathlib import Path

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS
from fer_utils.dataset import PUBLISHED_COUNTS

# What tables and reports need of a run; results/schema.json asks more of what is kept.
OF_METRICS = Path(__file__).with_name("metrics_schema.json")


@functools.cache
def _compiled(schema: str):
    import fastjsonschema

    return fastjsonschema.compile(json.loads(schema))


def read_record(path: Path, schema: Path | None = None) -> dict:
    """Return what a file holds if it is the record of a run: a metrics.json, or with results/schema.json a kept one.

    Raises:
        UserError: naming the file and the first thing that is missing or wrong.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if schema:
            check_record(record, schema)
        else:
            _require(record, OF_METRICS)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not the record of a run ({error})") from error
    return record


def _require(record, schema: Path) -> None:
    from fastjsonschema import JsonSchemaValueException

    try:
        _compiled(schema.read_text(encoding="utf-8"))(record)
    except JsonSchemaValueException as error:
        message = error.message.removeprefix("data.")
        raise UserError(f"the record {message[5:]}" if message.startswith("data ") else message) from error


def check_record(record: dict, schema: Path) -> None:
    """Compare a record with a schema, its figures with each other, and its data with the published FER-2013.

    Raises:
        UserError: naming the first thing that is missing or wrong.
    """
    _require(record, schema)
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
