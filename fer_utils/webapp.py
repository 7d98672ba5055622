"""The detector as a page of its own, through Voilà, on the loopback address."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from fer_utils.errors import UserError
from fer_utils.paths import PACKAGE, project_root

MODEL_VARIABLE = "FER_APP_MODEL"


def find_model() -> Path:
    """Return the newest trained model in the project's runs/ folder.

    Raises:
        UserError: if there is none.
    """
    root = project_root()
    models = list((root / "runs").rglob("model.keras")) if root else []
    if not models:
        raise UserError("no trained model found: run 'make notebooks' first, or give one with --model FILE.keras")
    return max(models, key=lambda path: path.stat().st_mtime)


def serve(model: Path | None, port: int, browser: bool) -> None:
    """Serve the uploader until interrupted.

    Raises:
        UserError: if Voilà is not installed, or there is no model.
    """
    if importlib.util.find_spec("voila") is None:
        raise UserError("the app needs Voilà: install it with 'pip install -e .[app]'")
    model = model or find_model()
    if not model.is_file():
        raise UserError(f"no such model: {model}")
    command = [
        sys.executable, "-m", "voila", str(PACKAGE / "assets" / "app.ipynb"), "--port", str(port),
        "--Voila.ip=127.0.0.1", "--theme=light", *([] if browser else ["--no-browser"]),
    ]  # fmt: skip
    print(f"Model: {model}\nThe page: http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    code = subprocess.run(command, env={**os.environ, MODEL_VARIABLE: str(model.resolve())}).returncode
    if code:
        raise UserError(f"Voilà ended with code {code}: is port {port} taken? Choose another with --port")
