"""A reader's window on the dashboard, with what it asked for and what its console said."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import ConsoleMessage, Download, Locator, Page, Request, Response
from playwright.sync_api import TimeoutError as TooLate

PATIENCE_MS = 60_000
SCREENSHOTS = "TAJDID_SCREENSHOTS"
LOCAL = {"127.0.0.1", "localhost"}
# Streamlit looks for its own server under the page's path first, and then finds it at the root.
EXPECTED_MISSES = ("/_stcore/health", "/_stcore/host-config")


# After the window got another width: charts are as wide as their place, nothing slides any more (the list of
# pages does; words in it are cut until it has), and all stands where it stood the last few times.
STANDS_STILL = """times => {
  const moves = document.getAnimations().some(
    one => one.playState === 'running' && one.effect.getComputedTiming().endTime !== Infinity);
  const late = [...document.querySelectorAll('.js-plotly-plot')].some(chart => {
    const drawn = chart.querySelector('svg.main-svg');
    return !drawn || Math.abs(drawn.getBoundingClientRect().width - chart.getBoundingClientRect().width) > 1;
  });
  const parts = '[data-testid="stSidebar"], [data-testid="stMain"], h1, h2, h3, .tj-table, .js-plotly-plot,'
    + '[data-testid="stMetric"], [data-testid="stPopoverBody"]';
  const places = [...document.querySelectorAll(parts)].map(one => {
    const box = one.getBoundingClientRect();
    return [box.x, box.y, box.width, box.height].map(Math.round).join();
  }).join(' ') + window.innerWidth;
  const seen = window.tajdidSeen;
  const same = seen && seen.places === places && !moves && !late ? seen.same + 1 : 0;
  window.tajdidSeen = {places, same};
  return same >= times;
}"""
TIMES, EVERY_MS = 3, 40


def keep(page: Page, name: str) -> None:
    """Keep a picture of what a window shows in the folder that TAJDID_SCREENSHOTS names, if it does."""
    folder = os.environ.get(SCREENSHOTS)
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


@dataclass
class Reader:
    """One reader's window, with what it asked for and what its console said."""

    page: Page
    server: str
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def open(self, name: str = "", width: int = 1280, **address: str) -> Page:
        """Open a page of the dashboard and wait until it has been drawn."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.goto(f"{self.server}/{name}?{urlencode(address)}")
        self.page.wait_for_selector("h1", timeout=PATIENCE_MS)
        self.settle()
        return self.page

    def resize(self, width: int) -> Page:
        """Give the window another width and wait until the page has followed."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.stand_still()
        self.settle()
        return self.page

    def stand_still(self) -> None:
        """Wait until nothing moves any more: a press on what moves under it is lost."""
        self.page.wait_for_function(STANDS_STILL, arg=TIMES, polling=EVERY_MS, timeout=PATIENCE_MS)

    def picture(self, name: str) -> None:
        """Keep a picture of the whole page in the folder that TAJDID_SCREENSHOTS names, if it does."""
        if not os.environ.get(SCREENSHOTS):
            return
        size = self.page.viewport_size or {"width": 1280, "height": 900}
        height = self.page.evaluate("() => document.querySelector('[data-testid=\"stMain\"]').scrollHeight")
        self.page.set_viewport_size({"width": size["width"], "height": min(max(int(height), 900), 6_000)})
        self.settle()
        keep(self.page, name)
        self.page.set_viewport_size(size)

    def taken(self, button: Locator) -> Download:
        """Press a button that gives a file, and wait for the file.

        A press that meets the page being drawn anew is lost, as it is for a person, who presses once more.
        """
        self.settle()
        self.stand_still()
        try:
            with self.page.expect_download(timeout=PATIENCE_MS / 2) as waiting:
                button.click()
        except TooLate:
            self.settle()
            with self.page.expect_download(timeout=PATIENCE_MS) as waiting:
                button.click()
        return waiting.value

    def settle(self) -> None:
        """Wait until the script has ended and every chart has been drawn."""
        self.page.wait_for_selector(
            '[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=PATIENCE_MS
        )
        self.page.wait_for_function(
            """() => [...document.querySelectorAll('[data-testid="stPlotlyChart"]')]
                .every(chart => chart.querySelector('svg.main-svg'))
              && !document.querySelector('[data-testid="stSkeleton"]')""",
            timeout=PATIENCE_MS,
        )
        self.page.evaluate("() => document.fonts.ready.then(() => true)")

    def heard(self, message: ConsoleMessage) -> None:
        address = message.location.get("url", "")
        if message.type == "error" and not urlsplit(address).path.endswith(EXPECTED_MISSES):
            self.errors.append(f"{message.text} {address}")

    def asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname not in LOCAL:
            self.outside.append(request.url)

    def answered(self, response: Response) -> None:
        if response.status >= 400 and not urlsplit(response.url).path.endswith(EXPECTED_MISSES):
            self.errors.append(f"{response.status} {response.url}")
