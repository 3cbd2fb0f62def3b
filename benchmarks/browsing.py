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
_QUIET_MS = 400
"""After a page is complete: shorter than the pause before the first question for news."""
_ALL_ASKED_FOR = "html[data-painted]"
"""There once what a page fetches after its first picture is asked for."""
EMPTY, NEW_TAB = "about:blank", "chrome://newtab/"
"""What a program's window shows at first, and a reader's who then types an address."""
SETTLED_MS, RESTED_MS = 200, 1500
"""A new window is a browser's work, not a page's: it has this long to be there before the address is opened. Only after
the longer time has it started all that a reader's open browser has long started, on the cores that make the page."""
_TOLD_MS = 100
"""After a page is complete and two more frames are made, until the browser has told of its last picture."""
_FRAMES = "new Promise((made) => requestAnimationFrame(() => requestAnimationFrame(made)))"
_ENTRIES = """([type, patience_ms]) => new Promise((told) => {
  new PerformanceObserver((list) => told(list.getEntries().map((entry) => [entry.startTime, entry.value ?? 0])))
    .observe({ type, buffered: true });
  setTimeout(told, patience_ms, []);
})"""
"""Asked afterwards, of what the browser keeps: a script put into the page beforehand would be in its way."""
_PAINT_PATIENCE_MS, _SHIFT_PATIENCE_MS = 5000, 50
"""Every page is painted, if late; few shift."""


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
    try:
        answer = page.goto(address, wait_until="load")
        page.wait_for_selector(_ALL_ASKED_FOR)
        if ready:
            page.wait_for_selector(ready)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(_QUIET_MS)
        paint_ms = _largest_paint_ms(page)
        shift = sum(value for _, value in page.evaluate(_ENTRIES, ["layout-shift", _SHIFT_PATIENCE_MS]))
        loaded_ms: float = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        return Visit(network.by_address(), answer.status if answer else 0, paint_ms, loaded_ms, shift)
    finally:
        page.close()


def largest_paint_ms(
    context: BrowserContext, address: str, ready: str = "", *, wait_ms: int = SETTLED_MS, before: str = EMPTY
) -> float:
    """The same of a visit that nothing else is asked about, so that nothing but the page is at work. `before` is what
    the window shows until then."""
    page = context.new_page()
    try:
        if before != EMPTY:
            page.goto(before)
        page.wait_for_timeout(wait_ms)
        answer = page.goto(address, wait_until="load")
        if ready:
            page.wait_for_selector(ready)
        page.evaluate(_FRAMES)
        page.wait_for_timeout(_TOLD_MS)
        paint_ms = _largest_paint_ms(page)
    finally:
        page.close()
    assert answer is not None, address
    assert answer.status == 200, (address, answer.status)
    assert paint_ms > 0, address
    return paint_ms


def _largest_paint_ms(page: Page) -> float:
    """0 where the browser tells of none."""
    entries = page.evaluate(_ENTRIES, ["largest-contentful-paint", _PAINT_PATIENCE_MS])
    return max((start_ms for start_ms, _ in entries), default=0.0)
