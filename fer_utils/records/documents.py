"""The tables in README.md, in results/README.md and in the model card, made from the records."""

from pathlib import Path

from fer_utils.common.errors import UserError
from fer_utils.common.labels import EMOTIONS
from fer_utils.evaluation.scores import macro_f1_range
from fer_utils.records.chosen import frozen, reference
from fer_utils.records.keep import load_recorded, results_folder
from fer_utils.records.series import COMMANDS, NEEDS_IMAGENET, ORIGINAL, SERIES
from fer_utils.records.wording import is_the_series_model, listed, origin

BEGIN, END = "<!-- results: begin, written by `fer results` -->", "<!-- results: end -->"


def series_table(records: list[dict] | None = None, split: str = "PublicTest") -> str:
    """Return as a Markdown table one row for each model of the series, and one for how the original's 97 % may arise.

    A model's row is the run that `reference` names, so that the validation part has chosen it.

    Args:
        records: by default those in results/.
        split: the part that the scores with an interval are of.
    """
    records = [record for record in (load_recorded() if records is None else records) if split in record["scores"]]
    head = ["model", "began with", "trained", "training", "validation", f"{split} (95 % interval)", "original says"]
    rows = [head, [":---"] * len(head)]
    for model, title in SERIES.items():
        runs = {title + " (ships)" * (model == "compact"): reference(model, records)}
        if model == "resnet50v2":
            still = frozen(model, records)
            runs |= {f"{title}, all but its last layers frozen": still} if still is not runs[title] else {}
        for name, record in runs.items():
            cells = _in_short(record, split) if record else [f"not measured yet: `{COMMANDS[model]}`", "", "", "", ""]
            rows.append([name, *cells, ORIGINAL.get(model, "")])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _in_short(record: dict, split: str) -> list[str]:
    """Return what a run began with, how it was trained, and what it scored, for one row of `series_table`.

    Spaces that no line may end at keep "n = 3,589" in one piece.
    """
    settings, members = record["settings"], len(record["settings"].get("trained", [0]))
    start = {"imagenet": "ImageNet weights", "file": "own weights"}.get(record["weights"], "random weights")
    size = f", {settings['image_size']} px" if "image_size" in settings else ""
    trained = f"{members} networks side by side" if members > 1 else f"{record['epochs']} epochs"
    beside = [
        f"{score['accuracy']:.1%}, n\u00a0=\u00a0{score['n']:,}" if score else "none held out"
        for score in map(record["scores"].get, ("training", "validation"))
    ]
    score = record["scores"][split]
    low, high = score["accuracy_ci95"]
    judged = f"**{score['accuracy']:.1%}** ({low:.1%}–{high:.1%}), n\u00a0=\u00a0{score['n']:,}"
    return [start + size, trained, *beside, judged]


def table(records: list[dict], split: str = "PublicTest") -> str:
    """Return the recorded runs as a Markdown table: one row a run, and one for each model that has none yet."""
    lines = [
        f"| model | {split}: accuracy (95 % interval), n | macro-F1 (95 % interval) | validation | training | "
        "epochs, minutes, on | original project says |",
        "|---|---|---|---|---|---|---|",
    ]
    for model, title in SERIES.items():
        original = ORIGINAL.get(model, "")
        mine = [record for record in records if record["model"] == model and split in record["scores"]]
        honest = [record for record in mine if is_the_series_model(record)]
        if not honest:
            name = f"{title}, ImageNet" if model in NEEDS_IMAGENET else title
            lines.append(f"| {name} | not measured yet: `{COMMANDS[model]}` | | | | | {original} |")
        ships = reference(model, records) if model == "compact" else None
        for record in mine:
            name = f"{title} (ships)" if record is ships else title
            lines.append(_row(name, record, split, original if record in honest else ""))
    return "\n".join(lines)


def _row(title: str, record: dict, split: str, original: str) -> str:
    score = record["scores"][split]
    low, high = score["accuracy_ci95"]
    least, most = macro_f1_range(score)
    twice = record.get("mirrored", {}).get(split)
    second = ""
    if twice:
        second = "; with the mirror image {:.1%} ({:.1%}–{:.1%})".format(twice["accuracy"], *twice["accuracy_ci95"])
    other = [
        f"{each['accuracy']:.1%}, n = {each['n']:,}" if each else "none held out"
        for each in map(record["scores"].get, ("validation", "training"))
    ]
    return (
        f"| {', '.join([title, *origin(record)])} | **{score['accuracy']:.1%}** "
        f"({low:.1%}–{high:.1%}), n = {score['n']:,}{second} | {score['macro_f1']:.3f} ({least:.3f}–{most:.3f}) | "
        f"{other[0]} | {other[1]} | "
        f"{record['epochs']}, {record['seconds'] / 60:.0f}, {record['hardware']} | {original} |"
    )


def model_card_figures(record: dict, split: str = "PublicTest") -> str:
    """Return the figures of the compact model's card as Markdown: scores by part, classes of `split`, calibration."""
    lines = ["| part | n | accuracy (95 % interval) | macro-F1 (95 % interval) | balanced accuracy |"]
    lines.append("|---|---|---|---|---|")
    for name, score in record["scores"].items():
        low, high = score["accuracy_ci95"]
        least, most = macro_f1_range(score)
        lines.append(
            f"| {name} | {score['n']:,} | {score['accuracy']:.1%} ({low:.1%}–{high:.1%}) | "
            f"{score['macro_f1']:.3f} ({least:.3f}–{most:.3f}) | "
            f"{score['balanced_accuracy']:.1%} |"
        )
    lines += ["", f"| {split}, by class | precision | recall | F1 | n |", "|---|---|---|---|---|"]
    for emotion, values in record["scores"][split]["per_class"].items():
        shares = " | ".join(f"{values[key]:.1%}" for key in ("precision", "recall"))
        lines.append(f"| {emotion} | {shares} | {values['f1']:.3f} | {values['n']:,} |")
    head = "| calibration | expected calibration error before → after | negative log likelihood before → after |"
    lines += ["", head, "|---|---|---|"]
    for name, values in record["settings"]["calibration"].items():
        lines.append(
            f"| {name} | {values['ece_before']:.3f} → {values['ece_after']:.3f} | "
            f"{values['nll_before']:.3f} → {values['nll_after']:.3f} |"
        )
    minutes = [each["seconds"] / 60 for each in record["settings"].get("trained", [record])]
    lasted = f"in {minutes[0]:.0f} minutes on"
    if len(minutes) > 1:
        lasted = f"from trainings of {listed(f'{each:.0f}' for each in minutes)} minutes, on"
    bias = record["settings"].get("bias", ())
    added = ""
    if bias:
        each = (f"{emotion} {value:+.2f}" for emotion, value in zip(EMOTIONS, bias, strict=True))
        added = f", and added to the logits {', '.join(each)}"
    lines += [
        "",
        f"Temperature {record['settings']['temperature']:.3f}{added}, fitted on the validation part. "
        f"{record['parameters']:,} "
        f"numbers. Made with `{record['command']}` {lasted} {record['hardware']} "
        f"(Keras {record['environment']['versions']['keras']}, backend {record['environment']['backend']}, "
        f"{record['settings']['dtype']}).",
    ]
    return "\n".join(lines)


def write_readme(readme: Path | None = None, records: list[dict] | None = None) -> bool:
    """Put the short table between the README's two marks; return whether anything changed.

    Raises:
        UserError: if the marks are missing.
    """
    return write_between_marks(readme or results_folder().parent / "README.md", series_table(records))


def write_all_runs(page: Path | None = None, records: list[dict] | None = None) -> bool:
    """Put the table of all runs between the marks of results/README.md; return whether anything changed.

    Raises:
        UserError: if the marks are missing.
    """
    content = table(load_recorded() if records is None else records)
    return write_between_marks(page or results_folder() / "README.md", content)


def write_model_card(card: Path | None = None, records: list[dict] | None = None) -> bool:
    """Put the shipped model's figures between the marks of docs/model_card.md; return whether anything changed.

    Raises:
        UserError: if the marks are missing.
    """
    record = reference("compact", records)
    if record is None:
        return False
    return write_between_marks(card or results_folder().parent / "docs" / "model_card.md", model_card_figures(record))


def write_between_marks(path: Path, content: str) -> bool:
    """Put Markdown between the marks of a page; return whether anything changed.

    Raises:
        UserError: if the marks are missing.
    """
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise UserError(f"{path.name} lacks the marks '{BEGIN}' and '{END}'")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    new = f"{head}{BEGIN}\n\n{content}\n\n{END}{tail}"
    path.write_text(new, encoding="utf-8")
    return new != text
