"""Which parameters a run of the notebooks gets, and whether the notebooks know them."""

import ast
from collections.abc import Iterable
from pathlib import Path

import nbformat
import yaml

from fer_utils.common.errors import UserError
from fer_utils.common.paths import project_root

COMMON = "all"


def notebook_folder() -> Path:
    """Return the project's notebooks/ folder.

    Raises:
        UserError: if this package is not installed from a checkout.
    """
    root = project_root()
    if root is None:
        raise UserError("the notebooks are not installed with the package: clone the project and run 'make notebooks'")
    return root / "notebooks"


def find_notebooks(only: list[str] | None = None, appendix: bool = False) -> list[Path]:
    """Return the series' notebooks in order, or those whose names begin with one of `only`.

    Args:
        only: such as "03", "A1" for one of the appendix, or "A" for all of it.
        appendix: without `only`, whether the appendix follows the series.

    Raises:
        UserError: if an entry of `only` matches nothing.
    """
    folder = notebook_folder()
    notebooks = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    further = sorted((folder / "appendix").glob("A[0-9]_*.ipynb"))
    if not only:
        return notebooks + further if appendix else notebooks
    for wanted in only:
        if not any(path.stem.startswith(wanted) for path in notebooks + further):
            names = ", ".join(path.stem for path in notebooks + further)
            raise UserError(f"no notebook begins with '{wanted}': choose from {names}")
    return [path for path in notebooks + further if any(path.stem.startswith(wanted) for wanted in only)]


def is_appendix(stem: str) -> bool:
    """Say whether a notebook of this name belongs to the appendix and not to the series."""
    return not stem[:1].isdigit()


def profile_names() -> list[str]:
    """Return the profiles that exist."""
    return sorted(path.stem for path in (notebook_folder() / "profiles").glob("*.yaml"))


def read_profile(profile: str) -> dict[str, dict]:
    """Return a profile's parameters by notebook ("03_custom_cnn"), with those for every notebook under "all".

    Raises:
        UserError: if there is no such profile, or it is not a mapping of mappings.
    """
    path = notebook_folder() / "profiles" / f"{profile}.yaml"
    if not path.is_file():
        raise UserError(f"unknown profile '{profile}': choose one of {', '.join(profile_names())}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path.name} is not valid YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(content, dict) or not all(isinstance(part or {}, dict) for part in content.values()):
        raise UserError(f"{path.name} must map notebook names to parameters")
    return {name: dict(part or {}) for name, part in content.items()}


def notebook_parameters(notebook: Path) -> dict:
    """Return the names and defaults in a notebook's cell tagged `parameters`.

    Raises:
        UserError: if there is no such cell, or it holds more than assignments of literals.
    """
    cells = [
        cell
        for cell in nbformat.read(notebook, as_version=4).cells
        if "parameters" in cell.metadata.get("tags", ()) and cell.cell_type == "code"
    ]
    if len(cells) != 1:
        raise UserError(f"{notebook.name} has {len(cells)} cells tagged 'parameters' instead of one")
    found = {}
    for statement in ast.parse(cells[0].source).body:
        try:
            (target,) = statement.targets
            found[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError) as error:
            raise UserError(f"{notebook.name}: the parameters cell may hold only NAME = literal") from error
    return found


def parameters_for(notebook: Path, profile: dict[str, dict], overrides: dict) -> dict:
    """Combine a profile and what was asked for beside it for one notebook.

    Entries for "all" apply where the notebook has the parameter; those in the notebook's own section must.

    Raises:
        UserError: if the notebook's own section names a parameter that the notebook does not have.
    """
    own = profile.get(notebook.stem, {})
    require_parameters(own, [notebook])
    wanted, known = {**profile.get(COMMON, {}), **own, **overrides}, notebook_parameters(notebook)
    return {name: value for name, value in wanted.items() if name in known}


def require_parameters(names: Iterable[str], notebooks: list[Path]) -> None:
    """Refuse a name that none of the notebooks has for a parameter: its value would change nothing.

    Raises:
        UserError: naming the first such name.
    """
    known = set().union(*(notebook_parameters(path) for path in notebooks))
    for name in names:
        if name not in known:
            stems, others = ", ".join(path.stem for path in notebooks), ", ".join(sorted(known))
            raise UserError(f"there is no parameter '{name}' in {stems}: choose from {others}")


def check_profile(profile: dict[str, dict]) -> None:
    """Refuse sections of a profile without a notebook, and names that no notebook has, before anything runs.

    Raises:
        UserError: naming the first thing that does not fit.
    """
    every = {path.stem: path for path in find_notebooks(appendix=True)}
    for section, names in profile.items():
        if section != COMMON and section not in every:
            raise UserError(f"the profile has a section '{section}', but there is no such notebook")
        require_parameters(names, list(every.values()) if section == COMMON else [every[section]])
