"""The figures in README.md, in results/README.md and in the model card, made from the records."""

from pathlib import Path

from fer_utils.common.errors import UserError
from fer_utils.common.files import write_text
from fer_utils.common.labels import EMOTIONS
from fer_utils.records.chosen import reference
from fer_utils.records.keep import load_recorded, results_folder
from fer_utils.records.tables import macro_f1, markdown, series_table, table, with_interval
from fer_utils.records.wording import listed

BEGIN, END = "<!-- results: begin, written by `fer results` -->", "<!-- results: end -->"


def model_card_figures(record: dict, split: str = "PublicTest") -> str:
    """Return the figures of the compact model's card as Markdown: scores by part, classes of `split`, calibration."""
    parts = [
        [name, f"{score['n']:,}", with_interval(score), macro_f1(score), f"{score['balanced_accuracy']:.1%}"]
        for name, score in record["scores"].items()
    ]
    classes = [
        [emotion, f"{found['precision']:.1%}", f"{found['recall']:.1%}", f"{found['f1']:.3f}", f"{found['n']:,}"]
        for emotion, found in record["scores"][split]["per_class"].items()
    ]
    calibration = [
        [name, *(f"{found[f'{measure}_before']:.3f} → {found[f'{measure}_after']:.3f}" for measure in ("ece", "nll"))]
        for name, found in record["settings"]["calibration"].items()
    ]
    measures = ["expected calibration error before → after", "negative log likelihood before → after"]
    tables = [
        markdown(["part", "n", "accuracy (95 % interval)", "macro-F1 (95 % interval)", "balanced accuracy"], parts),
        markdown([f"{split}, by class", "precision", "recall", "F1", "n"], classes),
        markdown(["calibration", *measures], calibration),
    ]
    return "\n\n".join([*tables, _how_it_was_made(record)])


def _how_it_was_made(record: dict) -> str:
    settings, environment = record["settings"], record["environment"]
    minutes = [f"{each['seconds'] / 60:.0f}" for each in settings.get("trained", [record])]
    lasted = f"in {minutes[0]} minutes on"
    if len(minutes) > 1:
        lasted = f"from trainings of {listed(minutes)} minutes, on"
    added = ""
    if settings.get("bias"):
        each = (f"{emotion} {value:+.2f}" for emotion, value in zip(EMOTIONS, settings["bias"], strict=True))
        added = f", and added to the logits {', '.join(each)}"
    return (
        f"Temperature {settings['temperature']:.3f}{added}, fitted on the validation part. "
        f"{record['parameters']:,} numbers. Made with `{record['command']}` {lasted} {record['hardware']} "
        f"(Keras {environment['versions']['keras']}, backend {environment['backend']}, {settings['dtype']})."
    )


def write_readme(readme: Path | None = None, records: list[dict] | None = None) -> bool:
    """Put the short table between the README's two marks, as `write_between_marks` does."""
    return write_between_marks(readme or results_folder().parent / "README.md", series_table(records))


def write_all_runs(page: Path | None = None, records: list[dict] | None = None) -> bool:
    """Put the table of all runs between the marks of results/README.md, as `write_between_marks` does."""
    content = table(load_recorded() if records is None else records)
    return write_between_marks(page or results_folder() / "README.md", content)


def write_model_card(card: Path | None = None, records: list[dict] | None = None) -> bool:
    """Put the shipped model's figures between the marks of docs/model_card.md, as `write_between_marks` does."""
    record, card = reference("compact", records), card or results_folder().parent / "docs" / "model_card.md"
    return record is not None and write_between_marks(card, model_card_figures(record))


def write_between_marks(path: Path, content: str) -> bool:
    """Put Markdown between the marks of a page; return whether anything changed.

    Raises:
        UserError: if the marks are missing.
    """
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise UserError(f"{path.name} lacks the marks '{BEGIN}' and '{END}'")
    head, tail = text.partition(BEGIN)[0], text.partition(BEGIN)[2].partition(END)[2]
    new = f"{head}{BEGIN}\n\n{content}\n\n{END}{tail}"
    if new != text:
        write_text(path, new)
    return new != text
