"""The server behind `fer app`: Voilà, with the doors closed that it leaves open.

Voilà takes any host name, lets a foreign page start a kernel by naming the address in an <img>, never ends a kernel
whose page was closed (its own message is refused for want of a cookie), and starts as many as it is asked for. Here a
request needs the token or its cookie, the name of this machine, and a browser that was sent here by a person.
"""

import ipaddress
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.web import HTTPError
from traitlets.config import Config
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.tornado.handler import TornadoVoilaHandler

from fer_utils.widgets.page import LOOPBACK

PAGE = Path(__file__).parent / "assets" / "app.ipynb"
MOST_SESSIONS = int(os.environ.get("FER_APP_SESSIONS", 8))
# Seconds without a page after which a kernel ends, with the photos that it holds. To open one takes less.
ALONE = 120


class FewKernels(AsyncMappingKernelManager):
    """No more than `MOST_SESSIONS` at once; one that no page is connected to ends after `ALONE` seconds."""

    async def start_kernel(self, **kwargs):
        """Start one more.

        Raises:
            HTTPError: 503 if there are as many as may be.
        """
        if len(self) >= MOST_SESSIONS:
            raise HTTPError(503, f"{MOST_SESSIONS} sessions are open: close a page and try again in a minute")
        return await super().start_kernel(**kwargs)

    start_kernel_async = start_kernel


class FromHere(TornadoVoilaHandler):
    """The page, for a person who opens it; not for another page that asks for it as a picture or in a frame."""

    async def prepare(self):
        """Refuse what a browser says another site asked for, and what is no page to look at."""
        headers = self.request.headers
        if headers.get("Sec-Fetch-Dest", "document") != "document" or (
            headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
            # A link from elsewhere is fine as long as it brings the token.
            and not self.get_argument("token", "")
        ):
            raise HTTPError(403, "this page is not for other pages")
        self.set_header("X-Frame-Options", "DENY")
        await super().prepare()


class Goodbye(VoilaShutdownKernelHandler):
    """What a closing page says: end my kernel. A beacon cannot bring the usual cookie, so its origin is looked at."""

    def check_xsrf_cookie(self):
        """Refuse a message that no page of this server sent."""
        origin = self.request.headers.get("Origin") or self.request.headers.get("Referer") or ""
        if urlsplit(origin).netloc != self.request.host:
            raise HTTPError(403, "not from this page")


class App(Voila):
    """Voilà with one page, one user, and few kernels."""

    def init_settings(self):
        """Take requests for this machine by name only, unless another address was asked for."""
        is_here = ipaddress.ip_address(self.ip or LOOPBACK).is_loopback
        return super().init_settings() | {"allow_remote_access": not is_here}

    def init_handlers(self):
        """Put the stricter handlers in the place of Voilà's."""
        stricter = {TornadoVoilaHandler: FromHere, VoilaShutdownKernelHandler: Goodbye}
        return [(route, stricter.get(handler, handler), *rest) for route, handler, *rest in super().init_handlers()]


def main() -> None:
    """Serve the page; `fer app` gives the token in `$JUPYTER_TOKEN`."""
    config = Config()
    config.Voila.auto_token = True
    config.Voila.open_browser = False
    config.Voila.port_retries = 0
    config.VoilaConfiguration.theme = "light"
    # What the address asks for must not choose what is run.
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.file_allowlist = []
    config.VoilaConfiguration.allow_theme_override = "NO"
    config.VoilaConfiguration.multi_kernel_manager_class = FewKernels
    config.AsyncMappingKernelManager.cull_idle_timeout = ALONE
    config.AsyncMappingKernelManager.cull_interval = 15
    config.IdentityProvider.cookie_options = {"SameSite": "Strict"}
    App.launch_instance([str(PAGE), *sys.argv[1:]], config=config)


if __name__ == "__main__":
    main()
