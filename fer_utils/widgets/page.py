"""The detector as a page of its own, through Voilà, on the loopback address."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys

from fer_utils.common.errors import UserError, WentWrong
from fer_utils.common.paths import PACKAGE

MODEL_VARIABLE = "FER_APP_MODEL"

LOOPBACK = "127.0.0.1"


def uploader():
    """Return the form that the page shows, with the model that `serve` was given."""
    from fer_utils.detector.detector import EmotionDetector
    from fer_utils.widgets.form import EmotionUploader

    return EmotionUploader(EmotionDetector(os.environ.get(MODEL_VARIABLE, "shipped")))


def serve(model: str, port: int, browser: bool, ip: str = LOOPBACK) -> None:
    """Serve the uploader until interrupted.

    Args:
        model: "shipped", or the path of a .keras or .onnx file.
        port: on this machine.
        browser: whether to open the page.
        ip: the address to listen on; the loopback address cannot be reached from other machines.

    Raises:
        UserError: if Voilà is not installed, the model cannot be loaded, or the port is taken.
    """
    if importlib.util.find_spec("voila") is None:
        raise UserError("the app needs Voilà: install it with 'pip install -e .[app]'")
    _check_model(model)
    with socket.socket() as probe:
        if probe.connect_ex((ip, port)) == 0:
            raise UserError(f"port {port} is taken: choose another with --port")
    command = [
        sys.executable,
        "-m",
        "voila",
        str(PACKAGE / "assets" / "app.ipynb"),
        f"--port={port}",
        f"--Voila.ip={ip}",
        "--Voila.port_retries=0",
        "--theme=light",
        *([] if browser else ["--no-browser"]),
    ]
    print(f"Model: {model}\nThe page: http://{ip}:{port} (Ctrl-C ends it)", flush=True)
    path = model if model == "shipped" else os.path.abspath(model)
    server = subprocess.Popen(command, env={**os.environ, MODEL_VARIABLE: path})
    # Without this, a signal would end this process and leave the server running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        code = server.wait()
    except (KeyboardInterrupt, SystemExit):
        server.terminate()
        server.wait()
        return
    if code:
        raise WentWrong(f"Voilà ended with code {code}; its own messages stand above")


def _check_model(model: str) -> None:
    """Load an ONNX model, which is quick; for Keras, whose start takes seconds, look whether the file is there."""
    from fer_utils.detector.detector import EmotionDetector

    if model.endswith(".keras"):
        if not os.path.isfile(model):
            raise UserError(f"no such model: {model}; train one with 'fer run', or give the path of a .keras file")
    else:
        EmotionDetector(model)
