"""The notebooks without results, for a class that is asked to predict before it sees anything."""

from pathlib import Path

import nbformat

from fer_utils.common.errors import UserError
from fer_utils.common.paths import shown
from fer_utils.runner.profiles import find_notebooks, notebook_folder


def write_handout(folder: str | Path, only: list[str] | None = None) -> list[Path]:
    """Copy the notebooks without outputs and numbers of execution; the originals stay as they are.

    Args:
        folder: where to; created if missing. Beside `notebooks/` the copies find everything that they look for.
        only: notebooks whose names begin with one of these ("03"); None for all, with the appendix in a folder of its
            own, so that the notebooks' links to each other hold.

    Returns:
        The files written.

    Raises:
        UserError: if one of them exists, which may hold somebody's work, or `only` matches nothing.
    """
    from nbconvert.preprocessors import ClearOutputPreprocessor

    sources = find_notebooks(only, appendix=True)
    targets = [Path(folder) / source.relative_to(notebook_folder()) for source in sources]
    for target in targets:
        if target.exists():
            raise UserError(f"{shown(target)} exists, and may hold somebody's work: choose another folder with --out")
    for source, target in zip(sources, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        notebook, _ = ClearOutputPreprocessor().preprocess(nbformat.read(source, as_version=4), {})
        nbformat.write(notebook, target)
    return targets
