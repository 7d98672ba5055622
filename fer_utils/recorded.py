"""The runs on FER-2013 that are kept in `results/`, and the tables that are made from them."""

import json
import platform
from collections.abc import Iterable
from pathlib import Path

from fer_utils.errors import UserError
from fer_utils.evaluation import macro_f1_range
from fer_utils.labels import EMOTIONS
from fer_utils.paths import project_root

BEGIN, END = "<!-- results: begin, written by `fer results` -->", "<!-- results: end -->"
SERIES = {
    "custom_cnn": "Custom CNN",
    "custom_cnn_augmented": "Custom CNN with augmentation",
    "vgg16": "VGG16",
    "resnet50v2": "ResNet50V2",
    "compact": "Compact CNN",
}
# What the project that this series began from reports, without saying on which part or how many images.
ORIGINAL = {"custom_cnn": "52.54 %", "custom_cnn_augmented": "57.93 %", "vgg16": "63.53 %", "resnet50v2": "97 %"}
COMMANDS = {
    "custom_cnn": "fer run --profile full --only 03",
    "custom_cnn_augmented": "fer run --profile full --only 04",
    "vgg16": "fer run --profile full --only 05",
    "resnet50v2": "fer run --profile full --only 06",
    "compact": "fer train compact",
}
# How the notebooks call the runs that may stand for a model.
RUNS = {
    "custom_cnn": ("03_custom_cnn", "04_without_augmentation"),
    "custom_cnn_augmented": ("04_with_augmentation",),
    "vgg16": ("05_vgg16",),
    "resnet50v2": ("06_resnet50v2",),
}
# The most telling start first.
WEIGHTS = ("imagenet", "none", "file", "random")
# A transfer model is only what it is called when it started from ImageNet.
NEEDS_IMAGENET = ("vgg16", "resnet50v2")


def results_folder() -> Path:
    """Return the project's results/ folder.

    Raises:
        UserError: if this package is not installed from a checkout.
    """
    root = project_root()
    if root is None:
        raise UserError("recorded results come with the project: clone it")
    return root / "results"


def load_recorded(folder: Path | None = None) -> list[dict]:
    """Return the recorded runs, by file name; none outside a checkout."""
    if folder is None:
        root = project_root()
        if root is None:
            return []
        folder = root / "results"
    return [json.loads(path.read_text(encoding="utf-8")) for path in _files(folder)]


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.json")) if path.name != "schema.json"]


def check(record: dict, folder: Path | None = None) -> None:
    """Compare a record with results/schema.json, and its figures with each other.

    Raises:
        UserError: naming the first thing that is missing or wrong.
    """
    # Only where it is needed: it takes a second to load.
    import jsonschema

    schema = json.loads(((folder or results_folder()) / "schema.json").read_text(encoding="utf-8"))
    try:
        jsonschema.validate(record, schema)
    except jsonschema.ValidationError as error:
        where = ".".join(str(part) for part in error.absolute_path) or "the record"
        raise UserError(f"this run cannot be recorded: {where}: {error.message}") from error
    for name, score in [*record["scores"].items(), *record.get("mirrored", {}).items()]:
        matrix = score["confusion_matrix"]
        right = sum(matrix[i][i] for i in range(len(matrix)))
        if sum(map(sum, matrix)) != score["n"] or abs(right / score["n"] - score["accuracy"]) > 1e-9:
            raise UserError(f"this run cannot be recorded: {name}'s accuracy does not follow from its confusion matrix")


def keep(
    run: str | Path, model: str, command: str, hardware: str = "", folder: Path | None = None, replace: bool = False
) -> Path:
    """Copy a run's metrics.json into results/, with how it was made, if it is complete and from FER-2013.

    Args:
        run: the run's folder or its metrics.json.
        model: which of the series' models it is, a key of `SERIES`.
        command: the command that made it, as a reader would type it.
        hardware: what it ran on; by default this machine's processor, and nothing about a GPU.
        folder: where to; by default the project's results/.
        replace: whether a record of the same name may be overwritten.

    Returns:
        The file written: results/MODEL_seedN.json, with "_random" for a backbone that started from random weights,
        "_own" for one that started from a file, "_whole" for one of which nothing was frozen, its image size, the
        width of a network with fewer filters, over how many epochs its augmentation grew, how strong it was if not
        as the original's, how many pictures lost a rectangle, the optimizer if it was not Adam, by how much labels
        were smoothed, "_cosine" if its step size fell along one, "_taught" if the model that ships taught it,
        "_second" if it began with the weights of an earlier training, and "_all" if it held nothing out. An
        ensemble has the seeds of all its members.

    Raises:
        UserError: if there is no such run, it does not fit the schema, it is another model's, or it is kept already.
    """
    path = Path(run)
    path = path / "metrics.json" if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"no such run: {path}; give the folder that holds metrics.json")
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is not the record of a run ({error}); run the notebook again") from error
    record |= {"model": model, "command": command, "hardware": hardware or _processor()}
    folder = folder or results_folder()
    check(record, folder)
    if model in RUNS and record["name"] not in RUNS[model]:
        raise UserError(f"this run is '{record['name']}'; {model} is {' or '.join(RUNS[model])}")
    if record["settings"].get("deduplicate", "none") != "none":
        raise UserError("this run cannot be recorded: it left copies out, and the records are of the data as published")
    suffix = {"random": "_random", "file": "_own"}.get(record["weights"], "")
    suffix += "_whole" if trained_whole(record) else ""
    suffix += f"_{record['settings']['image_size']}px" if "image_size" in record["settings"] else ""
    suffix += f"_width{_width(record):g}" if _width(record) != 1 else ""
    grown, strength, erased = _augmentation(record, model)
    suffix += f"_gentle{grown}" if grown else ""
    suffix += f"_strength{strength:g}" if strength != 1 else ""
    suffix += f"_erased{erased:g}" if erased else ""
    suffix += f"_{optimizer(record)}" if optimizer(record) != "adam" else ""
    suffix += f"_smoothing{smoothing(record, model):g}" if smoothing(record, model) else ""
    suffix += "_cosine" if record["settings"].get("schedule") == "cosine" else ""
    suffix += "_taught" if taught_by_shipped(record) else ""
    suffix += "_second" if began_with(record) else ""
    suffix += "_all" if trained_on_all(record) else ""
    seeds = [run["seed"] for run in record["settings"].get("trained", [record["settings"]])]
    kept = folder / f"{model}{suffix}_{'_'.join(f'seed{seed}' for seed in seeds)}.json"
    if kept.exists() and not replace:
        raise UserError(f"{kept.name} is recorded already; to put this run in its place, add --replace")
    kept.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return kept


def _width(record: dict) -> float:
    """Return the share of the filters that the run's network kept."""
    return record["settings"].get("width", 1)


def _augmentation(record: dict, model: str) -> tuple[int, float, float]:
    """Return what a run's augmentation was like; 0, 1 and 0 for a model without one, or with a recipe of its own.

    Over how many epochs it grew, how strong it was as a share, and the share of the pictures that lost a rectangle.
    """
    settings = record["settings"] if model == "custom_cnn_augmented" else {}
    return settings.get("gentle_epochs", 0), settings.get("strength", 1), settings.get("erased", 0)


def augmented_how(record: dict, model: str) -> list[str]:
    """Return in words what sets a run's augmentation apart from the original's; nothing if `model` has none."""
    grown, strength, erased = _augmentation(record, model)
    hidden = [f"a rectangle of {erased:.0%} of the pictures hidden"] if erased else []
    if strength == 0:
        # Mirroring has no size: it stays, and does not grow.
        return ["mirrored only", *hidden]
    told = [f"growing over {grown} epochs"] if grown else []
    return told + ([f"{strength:.0%} as strong"] if strength != 1 else []) + hidden


def optimizer(record: dict) -> str:
    """Return the name of what made a run's steps; a run that does not say it was trained by Adam."""
    return record["settings"].get("optimizer", "adam")


def smoothing(record: dict, model: str) -> float:
    """Return the share of each label that was spread over all expressions; 0 for the compact model: it always does."""
    return record["settings"].get("label_smoothing", 0) if model != "compact" else 0


def trained_whole(record: dict) -> bool:
    """Return whether a run trained every layer of a backbone instead of keeping most of them frozen."""
    return not record["settings"].get("frozen", True)


def taught_by_shipped(record: dict) -> bool:
    """Return whether the answers of the model that ships were among the targets."""
    return record["settings"].get("teacher") == "shipped"


def trained_on_all(record: dict) -> bool:
    """Return whether a run of the compact model learned from all of Training, so that it has no validation score."""
    return record["model"] == "compact" and record["settings"].get("validation_split") == 0


def _is_the_series_model(record: dict) -> bool:
    """Return whether a run may fill its model's row: a backbone from ImageNet weights, or all filters."""
    return record["weights"] == "imagenet" if record["model"] in NEEDS_IMAGENET else _width(record) == 1


def _processor() -> str:
    """Name the processor as Linux does, or as Python can."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} logical processors, {names[0]}" if names else platform.processor() or platform.machine()


def reference(model: str, records: list[dict] | None = None, width: float = 1) -> dict | None:
    """Return the recorded run that stands for a model; None if there is none.

    That is the run from ImageNet weights if there is one, of those the one whose share of the filters is nearest to
    `width`, and of several the best on the validation part. Of the compact model it is the one that ships; that is
    never a run on all of Training: nothing was held out that could have chosen it.
    """
    records = load_recorded() if records is None else records
    mine = [record for record in records if record["model"] == model and not trained_on_all(record)]

    def worth(record: dict) -> tuple:
        start = WEIGHTS.index(record["weights"])
        apart = abs(_width(record) - width)
        return start, apart, -record["scores"]["validation"]["accuracy"], record["settings"]["seed"]

    return min(mine, key=worth, default=None)


# What a run has more for having been trained with augmentation.
AUGMENTATION = ("strength", "gentle_epochs", "erased")


def augmentation_pair(width: float = 1, records: list[dict] | None = None) -> dict[str, dict] | None:
    """Return two recorded trainings of the custom CNN that differ in nothing but the augmentation; None if none are.

    Of several pairs it is the one whose share of the filters is nearest to `width`, then the one of the most epochs.

    Args:
        width: share of the filters.
        records: to look in; by default those in results/.

    Returns:
        The record of each by "without" and "with".
    """
    records = load_recorded() if records is None else records

    def shared(record: dict) -> tuple:
        settings = {key: value for key, value in record["settings"].items() if key not in AUGMENTATION}
        return settings, record["data"]["fingerprint"], record["epochs"]

    pairs = [
        {"without": plain, "with": augmented}
        for plain in records if plain["model"] == "custom_cnn"
        for augmented in records if augmented["model"] == "custom_cnn_augmented" and shared(plain) == shared(augmented)
    ]  # fmt: skip
    return min(pairs, key=lambda pair: (abs(_width(pair["with"]) - width), -pair["with"]["epochs"]), default=None)


def frozen(model: str, records: list[dict] | None = None) -> dict | None:
    """Return the recorded run of a backbone of which only the last layers were trained; None if there is none.

    Args:
        model: "vgg16" or "resnet50v2".
        records: to look in; by default those in results/.
    """
    records = load_recorded() if records is None else records
    return reference(model, [record for record in records if not trained_whole(record)])


def runs_of(model: str, records: list[dict] | None = None) -> list[dict]:
    """Return the recorded runs of a model, each under a title that says what sets it apart from the others.

    Args:
        model: a key of `SERIES`.
        records: to look in; by default those in results/.
    """
    records = load_recorded() if records is None else records
    mine = [record for record in records if record["model"] == model]
    return [record | {"title": ", ".join([SERIES[model], *_origin(record)])} for record in mine]


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
        honest = [record for record in mine if _is_the_series_model(record)]
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
        f"| {', '.join([title, *_origin(record)])} | **{score['accuracy']:.1%}** "
        f"({low:.1%}–{high:.1%}), n = {score['n']:,}{second} | {score['macro_f1']:.3f} ({least:.3f}–{most:.3f}) | "
        f"{other[0]} | {other[1]} | "
        f"{record['epochs']}, {record['seconds'] / 60:.0f}, {record['hardware']} | {original} |"
    )


def _origin(record: dict) -> list[str]:
    """Return what sets a run apart from others of its model: weights, sizes, what taught it, seed."""
    settings = record["settings"]
    if "trained" in settings:
        members = settings["trained"]
        seeds = _listed(str(member["seed"]) for member in members)
        return [f"{len(members)} networks side by side", f"seeds {seeds}"]
    # From random weights, the layers before the backbone's last ones never learned anything if they were frozen.
    random = "random weights" if trained_whole(record) else "random weights and mostly frozen"
    starts = {"imagenet": "ImageNet", "random": random, "file": "own weights"}
    told = [starts[record["weights"]]] if record["weights"] in starts else []
    if trained_whole(record):
        told.append("every layer trained")
    if "image_size" in settings:
        told.append(f"{settings['image_size']} px")
    if _width(record) != 1:
        told.append(f"{_width(record):.0%} of the filters")
    told += augmented_how(record, record["model"])
    if optimizer(record) != "adam":
        told.append(f"by {optimizer(record).title()}")
    if smoothing(record, record["model"]):
        told.append(f"labels smoothed by {smoothing(record, record['model']):g}")
    start = settings.get("start")
    if start:
        told.append(f"second training{after_how_much(record)}")
    if taught_by_shipped(record):
        told.append("taught by the model that ships")
    # A run without a teacher learned from the model that it began with.
    elif settings.get("trust") and (settings.get("teacher") or not start):
        teachers = str(settings.get("teacher")).count("+") + 1
        one, several = ("another network", "other networks") if start else ("a larger network", "larger networks")
        told.append(f"taught by {one if teachers == 1 else f'{teachers} {several}'}")
    seed = f"seed {settings['seed']}"
    return [*told, f"all of Training, with the settings of {seed}" if trained_on_all(record) else seed]


def began_with(record: dict) -> dict:
    """Return what a notebook's run says of the earlier training whose weights it began with; empty without one."""
    start = record["settings"].get("start")
    return start if isinstance(start, dict) else {}


def after_how_much(record: dict) -> str:
    """Return how long the training before a second one was, for the end of its name; "" if that is not known."""
    epochs = began_with(record).get("epochs")
    return f" after one of {epochs} epochs" if epochs else ""


def _listed(words: Iterable[str]) -> str:
    """Return at least two words as one reads them aloud: 3, 4 and 5."""
    *before, last = words
    return f"{', '.join(before)} and {last}"


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
        lasted = f"from trainings of {_listed(f'{each:.0f}' for each in minutes)} minutes, on"
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
