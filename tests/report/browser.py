"""Headless Chromium over the pipe of its DevTools protocol: no driver, no port, nothing to install but the browser."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]


class Tab:
    """One page; `complaints` holds everything its console said, `requests` every address it asked for."""

    def __init__(self, reader, writer) -> None:
        self._reader, self._writer, self._number, self._session = reader, writer, 0, None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._writer.write(json.dumps(message).encode() + b"\0")
        self._writer.flush()
        while True:
            data = b""
            while not data.endswith(b"\0"):
                byte = self._reader.read(1)
                if not byte:
                    raise RuntimeError("the browser is gone")
                data += byte
            found = json.loads(data[:-1])
            if found.get("id") == self._number:
                assert "error" not in found, found
                return found["result"]
            self._note(found.get("method"), found.get("params", {}))

    def _note(self, method, parameters):
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(parameters["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])

    def open(self, url, width=1200, height=900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        end = time.monotonic() + 30
        while self.run("location.href") == "about:blank" or self.run("document.readyState") != "complete":
            assert time.monotonic() < end
            time.sleep(0.05)

    def run(self, script):
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def point(self, selector):
        """Move the pointer onto the middle of an element."""
        x, y = self.run(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)});"
            " node.scrollIntoView({block: 'center'});"
            " const box = node.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


@contextmanager
def chromium(program: str, profile: str) -> Iterator[Tab]:
    """A browser with a profile of its own."""
    to_read, to_write = os.pipe(), os.pipe()

    flags = [*FLAGS, f"--user-data-dir={profile}"]
    pipes = f'exec "$0" "$@" 3<&{to_write[0]} 4>&{to_read[1]}'  # the browser reads from descriptor 3 and writes to 4
    process = subprocess.Popen(
        ["bash", "-c", pipes, program, *flags],
        pass_fds=(to_write[0], to_read[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(to_read[1])
    os.close(to_write[0])
    try:
        with os.fdopen(to_read[0], "rb") as reader, os.fdopen(to_write[1], "wb") as writer:
            yield Tab(reader, writer)
    finally:
        process.kill()
        process.wait()
