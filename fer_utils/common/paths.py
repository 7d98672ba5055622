"""Where things lie: the project, its data folder, the embedded sample, the cache."""

import os
from pathlib import Path

import platformdirs

from fer_utils.common.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]


def project_root() -> Path | None:
    """Return the checkout this package is installed from, or None for an ordinary install."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def data_folders() -> list[Path]:
    """Return the `data/` folders to search, nearest first: the working directory's, then the project's."""
    roots = [Path.cwd(), project_root()]
    return list(dict.fromkeys(root / "data" for root in roots if root and (root / "data").is_dir()))


def sample_archive() -> Path:
    """Return the embedded sample: `data/` in a checkout, `fer_utils/assets/` in an ordinary install."""
    root = project_root()
    return root / "data" / "fer_sample.zip" if root else PACKAGE / "assets" / "fer_sample.zip"


def cache_folder() -> Path:
    """Return the folder for decoded datasets: `$FER_CACHE`, or the user's cache folder.

    It never lies beside the data, which may be read-only, shared or synchronised to a cloud.
    """
    chosen = os.environ.get("FER_CACHE")
    if chosen:
        try:
            return Path(chosen).expanduser().resolve()
        except (RuntimeError, ValueError, OSError) as error:
            raise UserError(f"$FER_CACHE names no folder ({error}): correct it, or unset it") from error
    return Path(platformdirs.user_cache_dir("fer_utils", appauthor=False))


def shown(path: str | Path) -> str:
    """Return a path as it should appear in an output: relative to the working directory or the project.

    A path anywhere else is shortened to its last two parts, so that no notebook carries a home folder's name.
    """
    path = Path(path).resolve()
    for base in (project_root(), Path.cwd()):
        if base and path.is_relative_to(base):
            return path.relative_to(base).as_posix() or "."
    return Path(*path.parts[-2:]).as_posix()
