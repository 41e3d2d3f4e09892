"""Headless Chromium for tests, driven over the protocol of WebDriver with the standard library alone."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""Key under which WebDriver gives an element's name."""
KEYS = {"right": "\ue014", "left": "\ue012", "home": "\ue011", "tab": "\ue004"}


def programs() -> tuple[str, str] | None:
    """Chromium and its driver; None where one of them is missing."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One window of Chromium. address: of the session at the driver."""

    def __init__(self, address: str) -> None:
        self.address = address

    def call(self, path: str, **values: Any) -> Any:
        """A command of WebDriver, and the value that it returns."""
        return _post(f"{self.address}/{path}", values)

    def open(self, address: str) -> None:
        """Load a page."""
        self.call("url", url=address)

    def run(self, script: str, *values: Any) -> Any:
        """What a script returns, given the values as `arguments`."""
        return self.call("execute/sync", script=script, args=list(values))

    def press(self, css: str, *keys: str) -> None:
        """Keys, by their names in `KEYS` or as text, on the element that a selector finds."""
        element = self.call("element", using="css selector", value=css)[ELEMENT]
        self.call(f"element/{element}/value", text="".join(KEYS.get(key, key) for key in keys))

    def text(self, css: str) -> str:
        """The text of an element as a reader sees it."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", css))

    def resize(self, width: int, height: int) -> None:
        """Give pages a viewport of this size, also one narrower than a window can be."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=size)

    def complaints(self) -> list[str]:
        """Messages of the console since the last call: errors, warnings, refused requests."""
        return [entry["message"] for entry in self.call("se/log", type="browser")]


def _post(address: str, values: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        address, json.dumps(values).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error


@contextmanager
def browsing(width: int = 1400, height: int = 900) -> Iterator[Browser]:
    """A window of this size, closed at the end. Needs `programs`."""
    found = programs()
    assert found is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        [found[1], f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{port}"
        while True:
            try:
                with urllib.request.urlopen(f"{address}/status", timeout=60) as answer:
                    if json.load(answer)["value"]["ready"]:
                        break
            except OSError:
                assert driver.poll() is None, "chromedriver ended at once"
            time.sleep(0.05)
        options = {
            "binary": found[0],
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},{height}"],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = _post(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})
        browser = Browser(f"{address}/session/{session['sessionId']}")
        try:
            yield browser
        finally:
            request = urllib.request.Request(browser.address, method="DELETE")
            urllib.request.urlopen(request, timeout=120).close()
    finally:
        driver.terminate()
        driver.wait()
