"""Browsing: what a page costs a real Chromium: bytes by its network events, and when the largest content is painted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

PAGES = {
    "overview": "/",
    "symbol": "/symbol/BTCUSDT?interval=1h",
    "forecasts": "/forecasts",
    "models": "/models",
    "train": "/models/train",
    "performance": "/performance",
    "alerts": "/alerts",
}
READY = {"symbol": "#chart.drawn"}
"""What has to be there before a page is complete."""
FIRST_VISIT_BYTES, SECOND_VISIT_BYTES = 130_000, 15_000
"""The budget of every page, headers and answers to background questions included."""
SIZE = {"width": 1440, "height": 900}
_QUIET_MS = 600
"""Longer than the chart waits for an idle moment, shorter than the pause before the first question for news."""
_OBSERVE = """window.__paints = []; window.__shifts = [];
new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.__paints.push(entry.startTime); })
  .observe({ type: "largest-contentful-paint", buffered: true });
new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.__shifts.push(entry.value); })
  .observe({ type: "layout-shift", buffered: true });"""


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit: transferred bytes by address (headers included, 0 from the cache), and moments in milliseconds."""

    transferred_bytes: dict[str, int]
    status: int
    largest_paint_ms: float
    loaded_ms: float
    layout_shift: float

    @property
    def total_bytes(self) -> int:
        return sum(self.transferred_bytes.values())


@dataclass
class _Network:
    """What the network events of one page have told."""

    addresses: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def sent(self, event: dict[str, Any]) -> None:
        self.addresses[event["requestId"]] = event["request"]["url"]

    def finished(self, event: dict[str, Any]) -> None:
        self.sizes[event["requestId"]] = int(event["encodedDataLength"])

    def by_address(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for request, size in self.sizes.items():
            address = self.addresses.get(request, request)
            found[address] = found.get(address, 0) + size
        return found


@contextmanager
def fresh_profile(browser: Browser) -> Iterator[BrowserContext]:
    """A profile with nothing in its cache."""
    context = browser.new_context(viewport=SIZE)  # type: ignore[arg-type]  # a plain dict is what it takes
    context.set_default_timeout(60_000)
    try:
        yield context
    finally:
        context.close()


def visit(context: BrowserContext, address: str, ready: str = "") -> Visit:
    """Opens the address in a new tab of the profile and waits until it is loaded, `ready` is there and all is quiet."""
    page = context.new_page()
    network = _Network()
    events = context.new_cdp_session(page)
    events.on("Network.requestWillBeSent", network.sent)
    events.on("Network.loadingFinished", network.finished)
    events.send("Network.enable")
    page.add_init_script(_OBSERVE)
    try:
        answer = page.goto(address, wait_until="load")
        if ready:
            page.wait_for_selector(ready)
        page.wait_for_timeout(_QUIET_MS)
        return Visit(network.by_address(), answer.status if answer else 0, *_moments(page))
    finally:
        page.close()


def _moments(page: Page) -> tuple[float, float, float]:
    paint, loaded, shift = page.evaluate(
        "() => [Math.max(0, ...window.__paints), performance.getEntriesByType('navigation')[0].loadEventEnd,"
        " window.__shifts.reduce((sum, value) => sum + value, 0)]"
    )
    return float(paint), float(loaded), float(shift)
