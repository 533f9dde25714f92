"""A real headless Chromium for tests, by the DevTools protocol over a pipe.

Only the standard library: Chromium reads commands on file descriptor 3 and answers on
4 (`--remote-debugging-pipe`), JSON texts that end in a zero byte. A page's console
errors, uncaught exceptions and failed or attempted requests are collected from before
it loads.
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--hide-scrollbars"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    "--remote-debugging-pipe",
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PATIENCE_S = 60.0  # a busy machine starts Chromium slowly


def find_chromium() -> str:
    """The browser's path; skips the test where there is none."""
    for name in _NAMES:
        path = shutil.which(name)
        if path:
            return path
    pytest.skip(f"needs a browser; none of {', '.join(_NAMES)} is installed here")


class Browser:
    """One page at a time.

    Attributes:
      problems: console errors, exceptions, failed requests, since the last `open`.
      requested: addresses that the page asked for, the page's own and data: left out.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._out, self._in = to_browser, from_browser
        self._buffer, self._count, self._session = b"", 0, None
        self.problems: list[str] = []
        self.requested: list[str] = []
        self._page = ""
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, path: Path, width: int, height: int, *, phone: bool = False) -> None:
        """Loads a file at a window size and waits until it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1},
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.problems, self.requested, self._loaded = [], [], False
        self._page = path.resolve().as_uri()
        self.call("Page.navigate", url=self._page)
        deadline = time.monotonic() + _PATIENCE_S
        while not self._loaded:
            self._take(self._receive(deadline))
        # What comes just after loading counts too.
        self.evaluate("new Promise(done => setTimeout(done, 300))")

    def dark(self, wanted: bool) -> None:
        """Asks for dark or light colours."""
        feature = {
            "name": "prefers-color-scheme",
            "value": "dark" if wanted else "light",
        }
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def evaluate(self, expression: str) -> object:
        """The value of a JavaScript expression in the page."""
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, *, whole: bool = True) -> bytes:
        """The whole page as PNG, or what is in sight."""
        area = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            area = {"captureBeyondViewport": True, "clip": {**size, "scale": 1}}
        answer = self.call("Page.captureScreenshot", format="png", **area)
        return base64.b64decode(answer["data"])

    def mouse(self, kind: str, x: float, y: float) -> None:
        """A "mousePressed", "mouseMoved" or "mouseReleased" of the left button."""
        self.call(
            "Input.dispatchMouseEvent",
            **{"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1},
            buttons=0 if kind == "mouseReleased" else 1,
        )

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """A "touchStart", "touchMove" or "touchEnd"."""
        places = [{"x": x, "y": y} for x, y in points]
        self.call("Input.dispatchTouchEvent", type=kind, touchPoints=places)

    def key(self, name: str, code: int) -> None:
        """Presses and releases a key, e.g. "ArrowRight", 39."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                **{"type": kind, "key": name, "code": name},
                windowsVirtualKeyCode=code,
            )

    def call(self, method: str, **parameters: object) -> dict:
        """Sends a command and returns its answer; events meanwhile are taken in."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self._count:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._take(answer)

    def _receive(self, deadline: float) -> dict:
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._in], [], [], max(0.0, left))
            assert ready, "Chromium does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "Chromium has ended"
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def _take(self, event: dict) -> None:
        method, what = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            details = what["exceptionDetails"]
            told = details.get("exception", {}).get("description", details["text"])
            self.problems.append(f"exception: {told}")
        elif method == "Runtime.consoleAPICalled" and what["type"] in (
            *("error", "assert", "warning"),
        ):
            told = [str(arg.get("value")) for arg in what["args"]]
            self.problems.append(f"console.{what['type']}: {' '.join(told)}")
        elif method == "Log.entryAdded" and what["entry"]["level"] in (
            *("error", "warning"),
        ):
            self.problems.append(f"log: {what['entry']['text']}")
        elif method == "Network.requestWillBeSent":
            url = what["request"]["url"]
            if not url.startswith("data:") and url.partition("#")[0] != self._page:
                self.requested.append(url)
        elif method == "Network.loadingFailed":
            reason = what.get("blockedReason") or what["errorText"]
            self.problems.append(f"request failed: {reason}")


@contextlib.contextmanager
def running_browser(profile: Path) -> Iterator[Browser]:
    """Starts Chromium with a profile of its own and ends it, and only it."""
    command = [find_chromium(), *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    # Away from 3 and 4, onto which they are laid in the child.
    high = [
        fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (theirs_in, theirs_out)
    ]
    os.close(theirs_in)
    os.close(theirs_out)
    silence = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    pid = os.posix_spawn(
        command[0],
        command,
        dict(os.environ),
        file_actions=[
            (os.POSIX_SPAWN_DUP2, high[0], 3),
            (os.POSIX_SPAWN_DUP2, high[1], 4),
            *((os.POSIX_SPAWN_DUP2, silence, fd) for fd in (0, 1, 2)),
        ],
        setpgroup=0,
    )
    for fd in (*high, silence):
        os.close(fd)
    try:
        yield Browser(ours_out, ours_in)
    finally:
        os.close(ours_out)  # Chromium ends when its pipe does
        os.close(ours_in)
        _end(pid)


def _end(pid: int) -> None:
    for _ in range(50):
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
