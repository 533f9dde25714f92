"""A real headless Chromium, driven by Playwright; what a page does wrong is collected.

The browser is the system's: Playwright's own is not downloaded. While it runs, asyncio
cannot be used in this thread, so it should end with the tests of a module.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Watched:
    """One page at a time.

    Attributes:
      page: Playwright's, since the last `open`.
      problems: console errors and warnings, exceptions, failed requests of it.
      requested: addresses that it asked for, its own and data: left out.
    """

    page: Page

    def __init__(self, chromium: Browser) -> None:
        self._chromium = chromium
        self._context = chromium.new_context()
        self.problems: list[str] = []
        self.requested: list[str] = []

    def open(self, path: Path, width: int, height: int, *, phone: bool = False) -> Page:
        """Loads a file at a window size and waits until it is there."""
        self._context.close()
        self.problems, self.requested = [], []
        window = {"width": width, "height": height}
        self._context = self._chromium.new_context(
            viewport=window, is_mobile=phone, has_touch=phone
        )
        self.page = self._context.new_page()
        self._protocol = self._context.new_cdp_session(self.page)
        own = path.resolve().as_uri()

        def on_request(request: Request) -> None:
            if not request.url.startswith("data:") and request.url != own:
                self.requested.append(request.url)

        def on_console(message: ConsoleMessage) -> None:
            if message.type in ("error", "assert", "warning"):
                self.problems.append(f"console.{message.type}: {message.text}")

        self.page.on("request", on_request)
        self.page.on("console", on_console)
        self.page.on("pageerror", lambda error: self.problems.append(f"{error}"))
        self.page.on(
            "requestfailed",
            lambda request: self.problems.append(f"request failed: {request.failure}"),
        )
        self.page.goto(own)
        # What comes just after loading counts too, by the page's own clock.
        self.page.evaluate("new Promise(done => setTimeout(done, 200))")
        return self.page

    def evaluate(self, expression: str) -> object:
        """The value of a JavaScript expression in the page."""
        return self.page.evaluate(expression)

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """A "touchStart", "touchMove" or "touchEnd"; Playwright has no call for it."""
        places = [{"x": x, "y": y} for x, y in points]
        what = {"type": kind, "touchPoints": places}
        self._protocol.send("Input.dispatchTouchEvent", what)


@contextlib.contextmanager
def running_browser() -> Iterator[Watched]:
    """Starts the browser and ends it; skips the test where none is installed."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip(f"needs a browser; none of {', '.join(_NAMES)} is installed here")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=list(_ARGUMENTS)
        )
        yield Watched(chromium)
        chromium.close()
