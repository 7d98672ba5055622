"""Tables of the recorded runs as Markdown: six rows for the README, and all of them."""

from fer_utils.evaluation.scores import macro_f1_range
from fer_utils.records.chosen import frozen, reference
from fer_utils.records.keep import load_recorded
from fer_utils.records.series import COMMANDS, NEEDS_IMAGENET, ORIGINAL, SERIES
from fer_utils.records.wording import is_the_series_model, origin


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, [":---"] * len(head), *rows])


def share(score: dict | None, missing: str = "none held out") -> str:
    """Return an accuracy with its n; no line may end within "n = 3,589"."""
    return f"{score['accuracy']:.1%}, n\u00a0=\u00a0{score['n']:,}" if score else missing


def with_interval(score: dict) -> str:
    """Return an accuracy with its 95 % interval."""
    low, high = score["accuracy_ci95"]
    return f"{score['accuracy']:.1%} ({low:.1%}–{high:.1%})"


def macro_f1(score: dict) -> str:
    """Return a macro-F1 with its 95 % interval."""
    low, high = macro_f1_range(score)
    return f"{score['macro_f1']:.3f} ({low:.3f}–{high:.3f})"


def series_table(records: list[dict] | None = None, split: str = "PublicTest") -> str:
    """Return as a Markdown table one row for each model of the series, and one for how the original's 97 % may arise.

    A model's row is the run that `reference` names, so that the validation part has chosen it.

    Args:
        records: by default those in results/.
        split: the part that the scores with an interval are of.
    """
    records = [record for record in (load_recorded() if records is None else records) if split in record["scores"]]
    head = ["model", "began with", "trained", "training", "validation", f"{split} (95 % interval)", "original says"]
    rows = []
    for model, title in SERIES.items():
        runs = {title + " (ships)" * (model == "compact"): reference(model, records)}
        if model == "resnet50v2":
            still = frozen(model, records)
            runs |= {f"{title}, all but its last layers frozen": still} if still is not runs[title] else {}
        for name, record in runs.items():
            cells = _in_short(record, split) if record else [f"not measured yet: `{COMMANDS[model]}`", "", "", "", ""]
            rows.append([name, *cells, ORIGINAL.get(model, "")])
    return markdown(head, rows)


def _in_short(record: dict, split: str) -> list[str]:
    """Return what a run began with, how it was trained, and what it scored, for one row of `series_table`."""
    settings, scores = record["settings"], record["scores"]
    start = {"imagenet": "ImageNet weights", "file": "own weights"}.get(record["weights"], "random weights")
    size = f", {settings['image_size']} px" if "image_size" in settings else ""
    members = len(settings.get("trained", ()))
    trained = f"{members} networks side by side" if members else f"{record['epochs']} epochs"
    beside = [share(scores.get(part)) for part in ("training", "validation")]
    judged = with_interval(scores[split]).replace(" ", "** ", 1)
    return [start + size, trained, *beside, f"**{judged}, n\u00a0=\u00a0{scores[split]['n']:,}"]


def table(records: list[dict], split: str = "PublicTest") -> str:
    """Return the recorded runs as a Markdown table: one row a run, and one for each model that has none yet."""
    head = ["model", f"{split}: accuracy (95 % interval), n", "macro-F1 (95 % interval)", "validation", "training"]
    head += ["epochs, minutes, on", "original project says"]
    rows = []
    for model, title in SERIES.items():
        original = ORIGINAL.get(model, "")
        mine = [record for record in records if record["model"] == model and split in record["scores"]]
        honest = [record for record in mine if is_the_series_model(record)]
        if not honest:
            name = f"{title}, ImageNet" if model in NEEDS_IMAGENET else title
            rows.append([name, f"not measured yet: `{COMMANDS[model]}`", "", "", "", "", original])
        ships = reference(model, records) if model == "compact" else None
        for record in mine:
            name = f"{title} (ships)" if record is ships else title
            rows.append(_in_full(name, record, split, original if record in honest else ""))
    return markdown(head, rows)


def _in_full(title: str, record: dict, split: str, original: str) -> list[str]:
    scores = record["scores"]
    twice = record.get("mirrored", {}).get(split)
    second = f"; with the mirror image {with_interval(twice)}" if twice else ""
    judged = with_interval(scores[split]).replace(" ", "** ", 1)
    return [
        ", ".join([title, *origin(record)]),
        f"**{judged}, n\u00a0=\u00a0{scores[split]['n']:,}{second}",
        macro_f1(scores[split]),
        *(share(scores.get(part)) for part in ("validation", "training")),
        f"{record['epochs']}, {record['seconds'] / 60:.0f}, {record['hardware']}",
        original,
    ]
