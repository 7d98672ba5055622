"""What frozen layers make of each picture, kept on disk."""

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.common.paths import cache_folder
from fer_utils.models.layers import leaves
from fer_utils.models.predict import as_input, in_batches
from fer_utils.training.identity import describe_layers

VERSION = 1

# Features computed before they are written: what this needs of memory, besides one batch inside the network.
CHUNK_BYTES = 64 * 2**20

# What the largest answer of a layer may take for one batch; a network holds a few of that size at a time.
ACTIVATION_BYTES = 256 * 2**20

# Beyond this, the features that were not used for longest are removed.
MOST_BYTES_KEPT = 20 * 2**30

# Where the largest feature must lie for float16, which has 11 significant bits from 2⁻¹⁴ to 2¹⁶.
FLOAT16_RANGE = (2.0**-8, 2.0**15)


def compute(
    frozen, images: np.ndarray, batch_size: int = 64, progress: bool = True, on_the_way: tuple | None = None
) -> np.ndarray:
    """Return the frozen part's answer to each picture; what was computed before is only opened.

    The answers are kept in the cache folder, in a file named after the frozen weights, the layers, the number format
    that they compute in, and the pictures. They are written as they are computed, so memory stays bounded, and an
    interrupted computation goes on where it stopped. Kept is float16: it has more significant bits than bfloat16 (11
    against 8), so what a network computed in bfloat16 is kept exactly, and of float32 about three digits remain, with
    half the disk and half the reading. Should the features be too large or too small for float16, float32 is kept.

    Args:
        frozen: from `split_frozen`.
        images: uint8 (n, 48, 48).
        batch_size: pictures that go through the network at once; fewer where their maps would take too much memory.
        progress: whether to show a progress bar.
        on_the_way: from `split_on_the_way`: the features of a later stage are kept too, and these computed from them.

    Returns:
        float16 or float32 (n, …), a read-only memory map.

    Raises:
        UserError: if the cache folder cannot be written or has too little room.
    """
    import filelock

    folder = cache_folder() / "features"
    path = folder / f"{_key(frozen, images)}.npy"
    through, given = frozen, images
    if on_the_way and not path.is_file():
        given, through = compute(on_the_way[0], images, batch_size, progress), on_the_way[1]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Without a time limit: another process may take hours for them, and the lock goes when it does.
        with filelock.FileLock(f"{path}.lock"):
            if not _is_sound(path, (len(images), *frozen.output_shape[1:])):
                _compute_all(through, given, path, _bounded(batch_size, through), progress)
                _prune(folder, keep=path)
            # The time of the last use, for pruning.
            os.utime(path)
        return np.load(path, mmap_mode="r")
    except OSError as error:
        raise UserError(
            f"the features cannot be kept in {folder} ({error.strerror or error}): set $FER_CACHE to another folder, "
            "or train without frozen_once"
        ) from error


def _key(frozen, images: np.ndarray) -> str:
    """Return a name that changes with anything that the features depend on."""
    formats = [str(layer.dtype_policy) for layer in frozen.layers]
    about = [VERSION, _without_flags(describe_layers(frozen)), frozen.input_shape, formats]
    digest = hashlib.sha256(json.dumps(about, default=str).encode())
    for weight in frozen.get_weights():
        digest.update(np.ascontiguousarray(weight).view(np.uint8).reshape(-1).data)
    digest.update(repr(images.shape).encode())
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()[:24]


def _without_flags(part):
    """Leave out, at any depth, whether a layer is to be trained: here none is, whatever those without weights say."""
    if isinstance(part, dict):
        return {key: _without_flags(value) for key, value in part.items() if key != "trainable"}
    return [_without_flags(value) for value in part] if isinstance(part, list | tuple) else part


def _is_sound(path: Path, shape: tuple) -> bool:
    """Return whether the features are there and whole."""
    if not path.is_file():
        return False
    with contextlib.suppress(ValueError, EOFError):
        if np.load(path, mmap_mode="r").shape == shape:
            return True
    print(f"{path.name}: the features kept of the frozen layers are damaged and computed anew.")
    return False


def _bounded(batch_size: int, frozen) -> int:
    """Return a batch size with which no layer's answer takes more than `ACTIVATION_BYTES`, counted as float32."""
    shapes = [leaf.output.shape[1:] for leaf in leaves(frozen) if hasattr(leaf.output, "shape")]
    largest = 4 * max(int(np.prod(shape)) for shape in shapes)
    return max(1, min(batch_size, ACTIVATION_BYTES // largest))


def _compute_all(frozen, images: np.ndarray, path: Path, batch_size: int, progress: bool) -> None:
    """Fill `path` with the features of all images, going on with what an earlier call left unfinished."""
    shape = (len(images), *frozen.output_shape[1:])
    # One batch tells how large the numbers are; were it wrong about the rest, `_fill` would notice.
    largest = np.abs(in_batches(frozen, as_input(images[:batch_size]), batch_size)).max()
    formats = (np.float16, np.float32) if FLOAT16_RANGE[0] <= largest < FLOAT16_RANGE[1] else (np.float32,)
    building = path.with_suffix(".part")
    for dtype in formats:
        if _fill(frozen, images, batch_size, _open_part(building, shape, dtype), building, progress):
            break
    with open(building, "rb+") as whole:
        os.fsync(whole.fileno())
    os.replace(building, path)
    building.with_suffix(".json").unlink(missing_ok=True)


def _open_part(building: Path, shape: tuple, dtype) -> tuple[np.memmap, int]:
    """Return (the unfinished file open for writing, rows that are there already)."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        known = json.loads(building.with_suffix(".json").read_text(encoding="utf-8"))
        kept = np.load(building, mmap_mode="r+")
        if kept.shape == shape and kept.dtype == dtype:
            return kept, int(known["rows"])
    needed = int(np.prod(shape)) * np.dtype(dtype).itemsize
    free = shutil.disk_usage(building.parent).free
    if needed > 0.9 * free:
        raise UserError(
            f"the features need {needed / 1e9:.1f} GB and {building.parent} has {free / 1e9:.1f} GB free: set "
            "$FER_CACHE to another folder, take a smaller IMAGE_SIZE, or train without frozen_once"
        )
    building.with_suffix(".json").unlink(missing_ok=True)
    return np.lib.format.open_memmap(building, mode="w+", dtype=dtype, shape=shape), 0


def _fill(frozen, images: np.ndarray, batch_size: int, part: tuple, building: Path, progress: bool) -> bool:
    """Write the features that are missing; return False if they do not fit the number format."""
    kept, done = part
    step = max(1, CHUNK_BYTES // (4 * int(np.prod(kept.shape[1:]))) // batch_size) * batch_size
    bar = tqdm(total=len(kept), initial=done, desc="frozen layers", unit="image", disable=not progress, leave=False)
    with bar:
        for start in range(done, len(kept), step):
            rows = in_batches(frozen, as_input(images[start : start + step]), batch_size, progress=False)
            with np.errstate(over="ignore"):
                kept[start : start + len(rows)] = rows
            if not np.isfinite(kept[start : start + len(rows)]).all() and np.isfinite(rows).all():
                return False
            # First the rows, then the note that they are there.
            kept.flush()
            building.with_suffix(".json").write_text(json.dumps({"rows": start + len(rows)}), encoding="utf-8")
            bar.update(len(rows))
    return True


def _prune(folder: Path, keep: Path) -> None:
    """Remove the features that were not used for longest, until the rest is small enough."""
    found = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = keep.stat().st_size
    for path in found:
        if path == keep:
            continue
        total += path.stat().st_size
        if total > MOST_BYTES_KEPT:
            # Windows keeps what another process has open; then the next time.
            with contextlib.suppress(OSError):
                path.unlink()
                Path(f"{path}.lock").unlink(missing_ok=True)
