"""Which recorded run stands for what."""

from fer_utils.records.keep import load_recorded
from fer_utils.records.series import SERIES, WEIGHTS
from fer_utils.records.wording import origin, share_of_filters, trained_on_all, trained_whole

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
        for plain in records
        if plain["model"] == "custom_cnn"
        for augmented in records
        if augmented["model"] == "custom_cnn_augmented" and shared(plain) == shared(augmented)
    ]
    return min(
        pairs, key=lambda pair: (abs(share_of_filters(pair["with"]) - width), -pair["with"]["epochs"]), default=None
    )


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
    return [record | {"title": ", ".join([SERIES[model], *origin(record)])} for record in mine]


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
        apart = abs(share_of_filters(record) - width)
        return start, apart, -record["scores"]["validation"]["accuracy"], record["settings"]["seed"]

    return min(mine, key=worth, default=None)
