"""How a recorded run is described in a table."""

from collections.abc import Iterable

from fer_utils.dataset.fer_dataset import data_title
from fer_utils.records.series import NEEDS_IMAGENET


def share_of_filters(record: dict) -> float:
    """Return the share of the filters that the run's network kept."""
    return record["settings"].get("width", 1)


def augmentation_of(record: dict, model: str) -> tuple[int, float, float]:
    """Return what a run's augmentation was like; 0, 1 and 0 for a model without one, or with a recipe of its own.

    Over how many epochs it grew, how strong it was as a share, and the share of the pictures that lost a rectangle.
    """
    settings = record["settings"] if model == "custom_cnn_augmented" else {}
    return settings.get("gentle_epochs", 0), settings.get("strength", 1), settings.get("erased", 0)


def augmented_how(record: dict, model: str) -> list[str]:
    """Return in words what sets a run's augmentation apart from the original's; nothing if `model` has none."""
    grown, strength, erased = augmentation_of(record, model)
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


def is_the_series_model(record: dict) -> bool:
    """Return whether a run may fill its model's row: a backbone from ImageNet weights, or all filters."""
    return record["weights"] == "imagenet" if record["model"] in NEEDS_IMAGENET else share_of_filters(record) == 1


def origin(record: dict) -> list[str]:
    """Return what sets a run apart from others of its model: weights, sizes, what taught it, seed."""
    settings = record["settings"]
    if "trained" in settings:
        members = settings["trained"]
        seeds = listed(str(member["seed"]) for member in members)
        return [f"{len(members)} networks side by side", f"seeds {seeds}"]
    # From random weights, the layers before the backbone's last ones never learned anything if they were frozen.
    random = "random weights" if trained_whole(record) else "random weights and mostly frozen"
    starts = {"imagenet": "ImageNet", "random": random, "file": "own weights"}
    told = [starts[record["weights"]]] if record["weights"] in starts else []
    if trained_whole(record):
        told.append("every layer trained")
    if "image_size" in settings:
        told.append(f"{settings['image_size']} px")
    if share_of_filters(record) != 1:
        told.append(f"{share_of_filters(record):.0%} of the filters")
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


def listed(words: Iterable[str]) -> str:
    """Return at least two words as one reads them aloud: 3, 4 and 5."""
    *before, last = words
    return f"{', '.join(before)} and {last}"


def data_of(run: dict) -> str:
    """Return what figures of a run are to be called by: "FER-2013", "embedded sample" or "other pictures"."""
    return data_title(run["data"]["is_sample"], run["data"].get("is_fer2013", True))


def label_of(role: str, run: dict) -> str:
    data = data_of(run)
    weights = {"random": ", random weights", "faces": ", face weights"}.get(run["weights"], "")
    whole = ", every layer trained" if trained_whole(run) else ""
    return f"{role}, {data}{weights}{whole}"


def trained_on(run: dict, model: str) -> str:
    """Return, for the end of a line, what a run learned from and how: pictures, size, filters, steps, augmentation."""
    size, width = run["settings"].get("image_size"), run["settings"].get("width", 1)
    text = f" of {run['scores']['training']['n']:,} pictures"
    text += (f" of {size} px" if size else "") + (f", {width:.0%} of the filters" if width != 1 else "")
    rate = run["settings"].get("learning_rate")
    # Runs from before the lessons had one schedule wrote 0 for it.
    is_cosine = run["settings"].get("schedule") == "cosine" or run["settings"].get("rate_patience") == 0
    text += (f", step size {rate:g} at {'most' if is_cosine else 'first'}") if rate else ""
    text += f", by {optimizer(run).title()}" if optimizer(run) != "adam" else ""
    smoothed = smoothing(run, model)
    text += f", labels smoothed by {smoothed:g}" if smoothed else ""
    text += f", a second training{after_how_much(run)}" if began_with(run) else ""
    changed = augmented_how(run, model)
    return text + (f", augmentation {', '.join(changed)}" if changed else "")
