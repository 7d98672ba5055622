"""What somebody names on the command line: photos, videos, folders of them, patterns such as '*.jpg'."""

import glob
from collections.abc import Iterable
from pathlib import Path

from fer_utils.common.errors import UserError

PICTURES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".gif",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".ppm",
    ".avif",
    ".jp2",
    ".heic",
    ".heif",
)

VIDEOS = (
    ".mp4",
    ".m4v",
    ".mov",
    ".avi",
    ".mkv",
    ".webm",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".flv",
    ".3gp",
    ".ogv",
    ".mts",
    ".ts",
)


def named_files(arguments: Iterable[str]) -> list[str]:
    """Return the files that are meant, in order: a folder stands for its pictures and videos, at any depth.

    Raises:
        UserError: if a folder holds none, or a pattern matches nothing.
    """
    found = []
    for argument in arguments:
        if Path(argument).is_dir():
            inside = _inside(Path(argument))
            if not inside:
                raise UserError(f"{argument} holds no picture and no video: {', '.join(PICTURES + VIDEOS)}")
            found += inside
        elif glob.has_magic(argument) and not Path(argument).exists():
            # A shell that knows patterns replaces them itself; the one of Windows does not.
            matching = sorted(path for path in glob.glob(argument, recursive=True) if Path(path).is_file())
            if not matching:
                raise UserError(f"no file matches {argument}")
            found += matching
        else:
            found.append(argument)
    return found


def is_video(path: str) -> bool:
    """Say whether a file is to be read as a video, by its name."""
    return Path(path).suffix.lower() in VIDEOS


def _inside(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES + VIDEOS and path.is_file())
    # Finder's and other programs' own files, and what lies in hidden folders, are nobody's photos.
    hidden = (".", "__MACOSX")
    return sorted(str(path) for path in paths if not any(p.startswith(hidden) for p in path.relative_to(folder).parts))
