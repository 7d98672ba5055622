"""Fetching FER-2013 from Kaggle."""

import contextlib
import shutil
from pathlib import Path

from fer_utils.common.errors import UserError, WentWrong
from fer_utils.common.labels import EMOTIONS
from fer_utils.dataset.fer_dataset import FerDataset
from fer_utils.dataset.load import load_dataset

HANDLE = "msambare/fer2013"

PUBLISHED_COUNTS = {
    "Training": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "PublicTest": (467, 56, 496, 895, 653, 415, 607),
    "PrivateTest": (491, 55, 528, 879, 594, 416, 626),
}

BY_HAND = f"""To fetch it by hand:
  1. Sign in at https://www.kaggle.com (a free account; Kaggle may ask for a phone number).
  2. Open https://www.kaggle.com/datasets/{HANDLE} and press Download: archive.zip, about 63 MB.
  3. Put archive.zip into the project's data/ folder, without unpacking it.
  4. Check it: fer data info data/archive.zip
Without an account everything also runs on the embedded sample."""

"""Images per usage in the order of `EMOTIONS`, as the competition published them."""


def download(target: Path, progress: bool = True) -> FerDataset:
    """Download FER-2013 through kagglehub into `target`/fer2013 and verify its counts.

    Raises:
        UserError: if the download fails or its counts are not the published ones; the message
            holds the manual steps. A copy that failed the check is not left in `target`.
    """
    destination = target / "fer2013"
    if destination.exists():
        raise UserError(f"{destination} is already there: check it with 'fer data info {destination}', or remove it")
    import kagglehub

    building = target / ".fer2013-incomplete"
    try:
        # Before the download: a folder that cannot be written is not worth 60 MB.
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        try:
            downloaded = _fetch(kagglehub, progress)
            shutil.copytree(downloaded, building, dirs_exist_ok=True)
            building.rename(destination)
        finally:
            shutil.rmtree(building, ignore_errors=True)
            _remove_if_empty(target)
    # `shutil.Error`, an OSError too, lists every file: its first line will do.
    except OSError as error:
        reason = error.strerror or str(error)[:200]
        raise UserError(f"{target} cannot be written ({reason}): choose another folder with --to") from error
    return load_dataset(destination, progress=False)


def _fetch(kagglehub, progress: bool) -> Path:
    """Return the folder that kagglehub keeps its verified copy in; a bad one is fetched anew once."""
    problem = ""
    for again in ({}, {"force_download": True}):
        try:
            downloaded = Path(kagglehub.dataset_download(HANDLE, **again))
        # Whatever goes wrong between here and Kaggle (network, account, quota), the answer is the same.
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise WentWrong(f"the download from Kaggle failed ({reason}).\n{BY_HAND}") from error
        try:
            problem = next(iter(differences(load_dataset(downloaded, cache=False, progress=progress))), "")
        except UserError as error:
            problem = str(error)
        if not problem:
            return downloaded
    raise WentWrong(f"what Kaggle sent is not FER-2013 as published ({problem}).\n{BY_HAND}")


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def differences(dataset: FerDataset) -> list[str]:
    """Return how the counts differ from the published ones, one sentence each; an empty list if they do not."""
    counts = dataset.counts()
    found = []
    for usage, row in PUBLISHED_COUNTS.items():
        for emotion, published in zip(EMOTIONS, row, strict=True):
            n = int(counts.loc[usage, emotion]) if usage in counts.index else 0
            if n != published:
                found.append(f"{usage} has {n} {emotion} images instead of {published}")
    return found
