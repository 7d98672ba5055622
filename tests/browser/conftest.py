"""Servers and a browser for the tests that click. Set $FER_SCREENSHOTS to a folder to look at what they saw."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
START_SECONDS = 120


def find_chromium() -> str | None:
    """Return an installed Chromium: $CHROMIUM, or one on the PATH."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium with a camera that shows a test pattern."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = find_chromium()
    if not path:
        pytest.skip("no Chromium found: install one, or name it in $CHROMIUM")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, request):
    """An empty page; an error in its scripts fails the test. How it looked in the end is kept beside the others."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(60_000)
    yield page
    _shoot(page, f"{request.node.name}_end")
    context.close()
    assert not errors, errors


@pytest.fixture
def screenshot(page):
    """A function that keeps a picture of the page, where $FER_SCREENSHOTS says."""
    return lambda name: _shoot(page, name)


def _shoot(page, name: str) -> None:
    folder = os.environ.get("FER_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.fixture
def serve(tmp_path):
    """A function that starts a server and waits until it listens; `{port}` in its arguments becomes a free one.

    It must neither read nor write the settings of whoever runs the tests.
    """
    running = []

    def start(*arguments: str, **environment: str) -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        own = {
            f"{name}_DIR": str(tmp_path / name)
            for name in ("JUPYTER_CONFIG", "JUPYTER_DATA", "JUPYTERLAB_SETTINGS", "JUPYTERLAB_WORKSPACES")
        }
        own |= {"IPYTHONDIR": str(tmp_path / "ipython"), "FER_FLAGGED": str(tmp_path / "flagged")}
        command = [sys.executable, "-m", *(argument.format(port=port) for argument in arguments)]
        with (tmp_path / "server.log").open("w") as log:
            process = subprocess.Popen(
                command, cwd=tmp_path, env={**os.environ, **own, **environment}, stdout=log, stderr=subprocess.STDOUT
            )
        running.append(process)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return port
            time.sleep(0.2)
        raise AssertionError("the server did not start:\n" + (tmp_path / "server.log").read_text())

    yield start
    for process in running:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
