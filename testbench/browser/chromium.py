"""A headless Chromium driven over its DevTools pipe: no driver program, no port, no library.

    with Browser() as browser:
        page = browser.open(path)
        page.evaluate("document.title")
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-extensions "
    "--disable-background-networking --disable-component-update --disable-sync --hide-scrollbars "
    "--disable-dev-shm-usage --remote-debugging-pipe"
).split()


class BrowserError(Exception):
    """The browser did not start, broke off, or did not answer in time."""


class Browser:
    """One browser process with a profile of its own, which goes with it."""

    def __init__(self, program=None, timeout_s=60):
        program = program or next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise BrowserError("no Chromium on PATH: install the Debian package chromium")
        self.timeout_s = timeout_s
        self._profile = tempfile.mkdtemp(prefix="blockdot-browser-")
        # The child reads commands from its fd 3 and writes answers to its fd 4.
        command_read, self._out = os.pipe()
        self._in, answer_write = os.pipe()
        self._process = subprocess.Popen(
            ["bash", "-c", 'exec "$@" 3<&$IN 4>&$OUT', "bash", program, *FLAGS,
             f"--user-data-dir={self._profile}", "about:blank"],
            env={**os.environ, "IN": str(command_read), "OUT": str(answer_write)},
            pass_fds=(command_read, answer_write),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(command_read)
        os.close(answer_write)
        os.set_blocking(self._in, False)
        self._buffer = b""
        self._next_id = 0
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _message(self, deadline):
        """The next message of the browser; None when none came before the deadline."""
        while b"\0" not in self._buffer:
            try:
                data = os.read(self._in, 1 << 20)
                if not data:
                    raise BrowserError("the browser broke off")
                self._buffer += data
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.005)
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **params):
        """Sends a DevTools command and returns its result; events met on the way are kept."""
        self._next_id += 1
        command = {"id": self._next_id, "method": method, "params": params}
        if session:
            command["sessionId"] = session
        try:
            os.write(self._out, json.dumps(command).encode() + b"\0")
        except BrokenPipeError as error:
            raise BrowserError("the browser did not start") from error
        deadline = time.monotonic() + self.timeout_s
        while True:
            message = self._message(deadline)
            if message is None:
                raise BrowserError(f"{method}: no answer in {self.timeout_s} s")
            if message.get("id") == self._next_id:
                if "error" in message:
                    raise BrowserError(f"{method}: {message['error']['message']}")
                return message["result"]
            self.events.append(message)

    def open(self, path, width=1280, height=900, dark=False):
        """A page on a local file, loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)
        page.media(dark=dark)
        page.call("Page.navigate", url=f"file://{os.path.abspath(path)}")
        page.wait_for("document.readyState === 'complete' && location.protocol === 'file:'")
        return page


class Page:
    def __init__(self, browser, session):
        self._browser = browser
        self._session = session

    def call(self, method, **params):
        return self._browser.call(method, self._session, **params)

    def media(self, dark=False, kind=""):
        """Emulates the reader's colour scheme, and `print` or `screen`."""
        self.call("Emulation.setEmulatedMedia", media=kind,
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def evaluate(self, expression):
        """The JSON value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def wait_for(self, expression, timeout_s=30):
        deadline = time.monotonic() + timeout_s
        while not self.evaluate(expression):
            if time.monotonic() > deadline:
                raise BrowserError(f"not so in {timeout_s} s: {expression} {self.complaints()}")
            time.sleep(0.02)

    def complaints(self):
        """Console errors and warnings, uncaught exceptions, failed loads, requests to a network."""
        self.evaluate("new Promise(r => setTimeout(r, 50))")
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            method, params = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                found.append(details.get("exception", {}).get("description", details["text"]))
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
            elif method == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "data:", "about:")):
                    found.append(f"request to {url}")
        return found

    def screenshot(self, path, selector=None, full=False):
        """Writes a PNG of the window, of the whole page, or of the box of one element."""
        params = {}
        if selector:
            box = self.evaluate(f"""(() => {{ const r = document.querySelector({json.dumps(selector)}).getBoundingClientRect();
                return {{x: r.x + scrollX, y: r.y + scrollY, width: r.width, height: r.height}}; }})()""")
            params = {"clip": {**box, "scale": 1}, "captureBeyondViewport": True}
        elif full:
            height = self.evaluate("document.documentElement.scrollHeight")
            width = self.evaluate("innerWidth")
            params = {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
                      "captureBeyondViewport": True}
        png = self.call("Page.captureScreenshot", format="png", **params)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(png))
