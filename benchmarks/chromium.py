"""Headless Chromium for looking at a report: opening, timing, pictures, and what the console said."""

from __future__ import annotations

import base64
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own, that keeps what pages write to the console."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, Service(DRIVER))
        try:
            yield driver
        finally:
            driver.quit()


def show_as(driver: webdriver.Chrome, width: int, height: int, scheme: str = "light", scale: float = 1) -> None:
    """Size of the page in CSS pixels and the colour scheme that the system asks for."""
    size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def open_page(driver: webdriver.Chrome, page: Path) -> float:
    """Open a report; seconds from the start of the navigation until the first problem's tokens are drawn."""
    driver.get(page.resolve().as_uri())
    while not (opened := driver.execute_script(_OPENED)):
        time.sleep(0.02)
    return opened / 1000


_OPENED = """return performance.getEntriesByName("drawn")[0]?.startTime"""


def picture(driver: webdriver.Chrome, path: Path) -> None:
    """What is seen now, as PNG."""
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    path.write_bytes(base64.b64decode(shot["data"]))
