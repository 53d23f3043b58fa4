"""Headless Chromium, told what to do over a pipe: its DevTools protocol, no package."""

import base64
import contextlib
import functools
import http.server
import itertools
import json
import os
import select
import shutil
import subprocess
import threading
import time

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
COMPLAINTS = "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"


@contextlib.contextmanager
def served(folder):
    """What `python -m http.server` does; gives its address."""
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(folder)
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Chromium:
    """One tab. Its profile, which it needs to write, is in `folder`."""

    def __init__(self, folder, *flags):
        theirs_in, self._write = os.pipe()
        self._read, theirs_out = os.pipe()
        # The protocol is spoken on descriptors 3 and 4. A sandbox is not for root.
        shell = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", *flags]
        options += ["--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"]
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", str(PROGRAM), *options, "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._numbers, self._rest, self._session = itertools.count(1), b"", ""
        self.complaints = []  # errors, and whatever it logged
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(x["targetId"] for x in targets if x["type"] == "page")
        session = self._call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = session["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, address):
        self._call("Page.navigate", url=address)

    def run(self, script):
        """The value of an expression of JavaScript."""
        options = {"awaitPromise": True, "returnByValue": True}
        done = self._call("Runtime.evaluate", expression=script, **options)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, script, seconds=120):
        """The value of an expression once it is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(AssertionError):  # the page is being loaded
                if value := self.run(script):
                    return value
            time.sleep(0.1)
        raise TimeoutError(f"{script} never was: {self.complaints}")

    def look(self, *, width, dark=False):
        """Sets the width of the window, and the colours that somebody prefers."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1}
        self._call("Emulation.setDeviceMetricsOverride", **size, mobile=width < 500)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key):
        for kind in ("rawKeyDown", "keyUp"):
            named = {"key": key, "windowsVirtualKeyCode": {"Tab": 9}[key]}
            self._call("Input.dispatchKeyEvent", type=kind, **named)

    def screenshot(self):
        """A PNG of all of the page."""
        done = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(done["data"])

    def close(self):
        with contextlib.suppress(Exception):
            self._call("Browser.close")
        self._process.wait(30)
        os.close(self._read)
        os.close(self._write)

    def _call(self, method, **params):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != number:
            if answer.get("method") in COMPLAINTS:
                self.complaints.append(answer["params"])
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _message(self):
        while b"\0" not in self._rest:
            assert select.select([self._read], [], [], 120)[0], "Chromium is silent"
            part = os.read(self._read, 1 << 20)
            assert part, "Chromium has ended"
            self._rest += part
        one, self._rest = self._rest.split(b"\0", 1)
        return json.loads(one)
