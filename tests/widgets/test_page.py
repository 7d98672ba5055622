"""The page of its own: only whoever has the token gets in, no other page can use it, and its kernels end."""

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest

from fer_utils.common.errors import UserError
from fer_utils.widgets import page

TOKEN = "a-token-that-only-the-owner-knows"
SESSIONS = 2


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """A served page; ending unused kernels after half a minute instead of two."""
    pytest.importorskip("voila")
    folder = tmp_path_factory.mktemp("page")
    with socket.socket() as free:
        free.bind((page.LOOPBACK, 0))
        port = free.getsockname()[1]
    own = {f"{name}_DIR": str(folder / name) for name in ("JUPYTER_CONFIG", "JUPYTER_DATA", "IPYTHON")}
    own |= {"JUPYTER_TOKEN": TOKEN, "FER_APP_SESSIONS": str(SESSIONS)}
    quick = ["--AsyncMappingKernelManager.cull_idle_timeout=30", "--AsyncMappingKernelManager.cull_interval=2"]
    command = [sys.executable, "-m", "fer_utils.widgets.server", f"--port={port}", f"--Voila.ip={page.LOOPBACK}"]
    log = (folder / "log").open("w+")
    server = subprocess.Popen([*command, *quick], env={**os.environ, **own}, stdout=log, stderr=log)
    while server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((page.LOOPBACK, port)) == 0:
                break
        time.sleep(0.1)
    assert server.poll() is None, (folder / "log").read_text()
    yield port
    server.terminate()
    server.wait(20)


def get(port, path="/", method="GET", **headers):
    """Return status, headers and text of an answer."""
    connection = http.client.HTTPConnection(page.LOOPBACK, port, timeout=120)
    connection.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read().decode(errors="replace")


def kernel_in(text: str) -> str:
    return re.search(r'"kernelId": "([0-9a-f-]{36})"', text)[1]


def is_there(port, kernel: str) -> bool:
    return get(port, f"/api/kernels/{kernel}", Authorization=f"token {TOKEN}")[0] == 200


def wait_until_gone(port, kernel: str) -> None:
    deadline = time.monotonic() + 90
    while is_there(port, kernel):
        assert time.monotonic() < deadline, "the kernel is still there"
        time.sleep(0.3)


def test_without_the_token_there_is_nothing(port):
    status, headers, _ = get(port)
    assert status == 302 and "/login" in headers["Location"]
    assert get(port, "/?token=a-guess")[0] in (302, 403)
    assert get(port, "/api/kernels/00000000-0000-0000-0000-000000000000")[0] == 403


@pytest.mark.skipif(not shutil.which("su") or os.name == "nt" or os.getuid() != 0, reason="cannot become another user")
def test_another_user_of_the_machine_finds_no_token(port):
    """Neither in the list of processes nor in an answer."""
    found = subprocess.run(["su", "nobody", "-s", "/bin/sh", "-c", "ps -ef; cat /proc/[0-9]*/environ 2>/dev/null"],
                           capture_output=True, text=True, errors="replace")  # fmt: skip
    assert found.stdout and TOKEN not in found.stdout
    asked = f"import urllib.request as r; print(r.urlopen('http://{page.LOOPBACK}:{port}/').geturl())"
    found = subprocess.run(
        ["su", "nobody", "-s", "/bin/sh", "-c", f'python3 -c "{asked}"'], capture_output=True, text=True
    )
    assert "/login" in found.stdout or found.returncode


def test_another_host_name_is_refused(port):
    """As a page does that has its own name lead to this machine (DNS rebinding)."""
    assert get(port, f"/?token={TOKEN}", Host=f"evil.example:{port}")[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Dest": "image", "Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Dest": "iframe", "Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Dest": "document", "Sec_Fetch_Site": "cross-site"},
    ],
)
def test_another_page_starts_no_kernel(port, headers):
    """Its requests would bring the cookie along."""
    assert get(port, "/", Authorization=f"token {TOKEN}", **headers)[0] == 403


def test_a_kernel_ends_with_its_page_and_without_one_and_there_are_not_too_many(port):
    status, headers, text = get(port, f"/?token={TOKEN}&template=nosuch&theme=nosuch")
    assert status == 200 and headers["X-Frame-Options"] == "DENY" and "SameSite=Strict" in headers["Set-Cookie"]
    first = kernel_in(text)
    second = kernel_in(get(port, "/", Authorization=f"token {TOKEN}")[2])
    assert first != second
    assert get(port, "/", Authorization=f"token {TOKEN}")[0] == 503
    cookie, here = headers["Set-Cookie"].split(";")[0], f"http://{page.LOOPBACK}:{port}"
    goodbye = f"/voila/api/shutdown/{first}"
    assert get(port, goodbye, "POST", Cookie=cookie, Origin="http://evil.example")[0] == 403
    assert get(port, goodbye, "POST", Origin=here)[0] == 403 and is_there(port, first)
    assert get(port, goodbye, "POST", Cookie=cookie, Origin=here)[0] == 204
    assert not is_there(port, first)
    wait_until_gone(port, second)


@pytest.mark.parametrize("ip", ["", "localhost", "nowhere", "0", "1.2.3"])
def test_what_is_no_address_is_refused(ip):
    with pytest.raises(UserError, match="--ip takes an address such as 127.0.0.1"):
        page.serve("shipped", 8866, False, ip)


def test_an_address_that_is_not_this_machines_and_a_taken_port_are_refused():
    with pytest.raises(UserError, match="cannot listen on 192.0.2.1"):
        page.serve("shipped", 8866, False, "192.0.2.1")
    with socket.socket() as taken:
        taken.bind((page.LOOPBACK, 0))
        taken.listen()
        with pytest.raises(UserError, match="choose another --port"):
            page.serve("shipped", taken.getsockname()[1], False)


def test_the_address_is_opened_by_way_of_a_private_file(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(page.webbrowser, "open", opened.append)
    page._open("http://127.0.0.1:1/?token=secret", tmp_path)
    (address,) = opened
    assert address.startswith("file:") and "secret" not in address
    assert os.name == "nt" or (tmp_path / "open.html").stat().st_mode & 0o077 == 0
