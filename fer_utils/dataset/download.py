"""Fetching FER-2013 from Kaggle."""

import contextlib
import functools
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path

from fer_utils.common.errors import UserError, WentWrong
from fer_utils.dataset.fer_dataset import FerDataset
from fer_utils.dataset.load import load_dataset
from fer_utils.dataset.published import PUBLISHED_COUNTS as PUBLISHED_COUNTS
from fer_utils.dataset.published import differences

HANDLE = "msambare/fer2013"
# Without a byte more, as behind a proxy that never answers, nothing will come any more.
SECONDS_OF_SILENCE = 60
BY_HAND = f"""To fetch it by hand:
  1. Sign in at https://www.kaggle.com (a free account; Kaggle may ask for a phone number).
  2. Open https://www.kaggle.com/datasets/{HANDLE} and press Download: archive.zip, about 63 MB.
  3. Put archive.zip into the project's data/ folder, without unpacking it.
  4. Check it: fer data info data/archive.zip
Without an account everything also runs on the embedded sample."""


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
            call = functools.partial(kagglehub.dataset_download, HANDLE, **again)
            downloaded = Path(_patiently(call, Path(kagglehub.config.get_cache_folder()) / "datasets" / HANDLE))
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


def _patiently(fetch: Callable[[], object], cache: Path) -> object:
    """Return what `fetch` returns, as long as `cache` keeps growing meanwhile.

    Raises:
        TimeoutError: if nothing has come for `SECONDS_OF_SILENCE`.
        Exception: whatever `fetch` raises.
    """
    # A thread that ends with the program: nothing else can be done about a call that never comes back.
    future: Future = Future()

    def work():
        try:
            future.set_result(fetch())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    size, silent = -1, 0.0
    while silent < SECONDS_OF_SILENCE:
        pause = min(2.0, SECONDS_OF_SILENCE / 5)
        if wait([future], pause).done:
            return future.result()
        grown = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
        silent = silent + pause if grown == size else 0.0
        size = grown
    raise TimeoutError(f"nothing came for {SECONDS_OF_SILENCE} seconds")
