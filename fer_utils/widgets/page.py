"""The detector as a page of its own: `fer app`."""

import importlib.util
import ipaddress
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import webbrowser
from pathlib import Path

from fer_utils.common.errors import UserError, WentWrong

MODEL_VARIABLE = "FER_APP_MODEL"
# Jupyter's own variable: it keeps the token out of the list of processes, which every user of the machine can read.
TOKEN_VARIABLE = "JUPYTER_TOKEN"
LOOPBACK = "127.0.0.1"


def uploader():
    """Return the form that the page shows, with the model that `serve` was given."""
    from fer_utils.detector.detector import EmotionDetector
    from fer_utils.widgets.form import EmotionUploader

    return EmotionUploader(EmotionDetector(os.environ.get(MODEL_VARIABLE, "shipped")))


def serve(model: str, port: int, browser: bool, ip: str = LOOPBACK) -> None:
    """Serve the uploader until interrupted, to whoever has the address with its token.

    Args:
        model: "shipped", or the path of a .keras or .onnx file.
        port: on this machine.
        browser: whether to open the page.
        ip: the address to listen on; the loopback address cannot be reached from other machines.

    Raises:
        UserError: if Voilà is not installed, the model cannot be loaded, `ip` is no address, or the port is taken.
    """
    if importlib.util.find_spec("voila") is None:
        raise UserError("the app needs Voilà: install it with pip install 'fer-utils[app]'")
    _check_address(ip, port)
    _check_model(model)
    token = os.environ.get(TOKEN_VARIABLE) or secrets.token_hex(24)
    address = f"http://{f'[{ip}]' if ':' in ip else ip}:{port}/?token={token}"
    print(f"Model: {model}\nThe page: {address} (Ctrl-C ends it)", flush=True)
    if not ipaddress.ip_address(ip).is_loopback:
        print(
            "Other machines can reach this page, without encryption: whoever has the address above can use it, and "
            "whoever reads along in the network sees the photos.",
            flush=True,
        )
    path = model if model == "shipped" else os.path.abspath(model)
    command = [sys.executable, "-m", "fer_utils.widgets.server", f"--port={port}", f"--Voila.ip={ip}"]
    server = subprocess.Popen(command, env={**os.environ, MODEL_VARIABLE: path, TOKEN_VARIABLE: token})
    # Without this, a signal would end this process and leave the server running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="fer-app-") as folder:
        try:
            if browser and _is_answering(server, ip, port):
                _open(address, Path(folder))
            code = server.wait()
        except (KeyboardInterrupt, SystemExit):
            server.terminate()
            server.wait()
            return
    if code:
        raise WentWrong(f"Voilà ended with code {code}; its own messages stand above")


def _check_address(ip: str, port: int) -> None:
    try:
        ipaddress.ip_address(ip)
    except ValueError as error:
        raise UserError(f"--ip takes an address such as {LOOPBACK}, not '{ip}'") from error
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as probe:
        # A port that was served a moment ago may still be waiting for its last packets.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name != "nt")
        try:
            probe.bind((ip, port))
        except OverflowError as error:
            raise UserError(f"port {port} is none: choose one from 1 to 65535 with --port") from error
        except OSError as error:
            raise UserError(
                f"cannot listen on {ip}, port {port} ({error.strerror}): choose another --port, or leave out --ip"
            ) from error


def _check_model(model: str) -> None:
    """Load an ONNX model, which is quick; for Keras, whose start takes seconds, look whether the file is there."""
    from fer_utils.detector.detector import EmotionDetector

    if model.endswith(".keras"):
        if not os.path.isfile(model):
            raise UserError(f"no such model: {model}; train one with 'fer run', or give the path of a .keras file")
    else:
        EmotionDetector(model)


def _is_answering(server: subprocess.Popen, ip: str, port: int) -> bool:
    """Wait until the server listens; False if it ends instead."""
    while server.poll() is None:
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as probe:
            probe.settimeout(0.2)
            if probe.connect_ex((ip, port)) == 0:
                return True
    return False


def _open(address: str, folder: Path) -> None:
    """Open an address in the browser by way of a file that only this user can read: a command line would show it."""
    page = folder / "open.html"
    page.touch(mode=0o600)
    page.write_text(f'<meta http-equiv="refresh" content="0; url={address}">', encoding="utf-8")
    webbrowser.open(page.as_uri())
