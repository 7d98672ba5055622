"""Executing the committed notebooks in place."""

import shutil
from pathlib import Path

import nbformat
from tqdm.auto import tqdm

from fer_utils.common.errors import UserError
from fer_utils.runner.execute import AT_THE_END, why_it_stopped
from fer_utils.runner.profiles import find_notebooks, notebook_folder
from fer_utils.runner.series import NotebookFailed, compared_with, make_paths_absolute
from fer_utils.runner.tidy import tidy, write_notebook


def refresh_notebooks(only: list[str] | None = None, progress: bool = True) -> None:
    """Execute the committed notebooks, with the appendix, in place with their own defaults, and tidy their outputs.

    Raises:
        UserError: if one shows the results of others that are neither here nor among them; nothing has run then.
        NotebookFailed: at the first cell that raises, or if a kernel dies; that notebook is left as it was.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebooks = find_notebooks(only, appendix=True)
    results = notebook_folder().parent / "runs" / "notebooks"
    chosen = {notebook.stem[:2] for notebook in notebooks}
    left = {folder.name[:2] for folder in results.glob("[0-9][0-9]_*")}
    kept = left - {folder.name[:2] for folder in _forgotten(results, min(chosen))}
    for notebook in notebooks:
        # Its comparison would be written with rows missing, and nobody would notice.
        missing = sorted(name for name in compared_with(notebook) if name[:2] not in chosen | kept)
        if missing:
            options = " ".join(f"--only {number}" for number in sorted(chosen.union(name[:2] for name in missing)))
            names = ", ".join(missing)
            raise UserError(f"{notebook.stem} shows results of {names}, which are not kept here: fer refresh {options}")
    make_paths_absolute()
    for notebook in tqdm(notebooks, "refreshing", unit="notebook", disable=not progress):
        content = nbformat.read(notebook, as_version=4)
        for folder in _forgotten(results, notebook.stem[:2]):
            shutil.rmtree(folder)
        client = NotebookClient(
            content, timeout=None, resources={"metadata": {"path": str(notebook.parent)}}, shutdown_kernel=AT_THE_END
        )
        try:
            client.execute()
        except CellExecutionError as error:
            raise NotebookFailed(f"{notebook.name}\n{error}") from error
        except Exception as error:
            raise NotebookFailed(why_it_stopped(notebook, error)) from error
        write_notebook(tidy(content), notebook)


def _forgotten(results: Path, number: str) -> list[Path]:
    """Return the folders that go before the notebook of this number, such as "03", is refreshed.

    What it left behind would be loaded instead of computed; what later ones did would stand in its comparison before
    a reader has met them. Earlier notebooks' results stay: comparisons need them.
    """
    return [folder for folder in results.glob("[0-9][0-9]_*") if folder.name[:2] >= number]
