"""Browser: what each page transfers, when it is painted, and what assets from another host cost, in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.browsing import (
    EMPTY,
    FIRST_VISIT_BYTES,
    NEW_TAB,
    PAGES,
    READY,
    RESTED_MS,
    SECOND_VISIT_BYTES,
    SETTLED_MS,
    Visit,
    fresh_profile,
    largest_paint_ms,
    visit,
)
from benchmarks.far_away import far_away
from benchmarks.measure import Reading, Row, at_most, faster, interleaved, print_rows, reading, result, saves
from benchmarks.served import free_port, market, market_words, served
from download_assets import SOURCES
from tests.support.browser import launch
from utils.errors import AssetError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_DELAY_S = 0.05
"""On the way there, and again on the way back."""
_NEAR, _FAR = "assets near", "assets far"
_FROM = {"from a new tab": NEW_TAB, "from an empty window": EMPTY}
"""Where the visits of that comparison come from: a reader's way and a program's."""
_UNBUNDLED = (
    ("bootstrap", "5.3.9", ("dist/css/bootstrap.min.css", "dist/js/bootstrap.bundle.min.js")),
    ("jquery", "4.0.0", ("dist/jquery.min.js",)),
    ("lightweight-charts", "5.2.1", ("dist/lightweight-charts.standalone.production.js",)),
)
"""What a page takes in that includes its libraries whole, minified, as the original document's did."""


def run(*, short: bool = False) -> dict[str, Any]:
    """Fresh profiles throughout. Of two applications one has its assets near, the other's `ASSET_BASE_URL` is the far
    end of a long line to it; both are visited in turns."""
    from playwright.sync_api import sync_playwright

    rounds, place_rounds = (1, 2) if short else (2, 6)
    played, far_port = market(20), free_port()
    with (
        served(played) as near,
        far_away(far_port, _DELAY_S) as line,
        served(played, port=far_port, ASSET_BASE_URL=f"http://localhost:{line}/assets") as far,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        address, other = (f"http://127.0.0.1:{one.port}" for one in (near, far))
        twice = {name: _twice(browser, address + path, name) for name, path in PAGES.items()}
        works = {name: partial(_paint, browser, address, name) for name in PAGES}
        paints = interleaved(works, rounds)
        places = {
            f"{name}, {start}": partial(_paint, browser, host, wait_ms=RESTED_MS, before=before)
            for start, before in _FROM.items()
            for name, host in ((_NEAR, address), (_FAR, other))
        }
        apart = interleaved(places, place_rounds)
        browser.close()
    rows = [*_bytes_rows(twice), *_paint_rows(paints), *_place_rows(apart)]
    print_rows(f"Chromium, {market_words(played)}", rows)
    notes = [
        f"{rounds} visits of each page and {place_rounds} in turns with assets near and far, where the ratio is what "
        f"counts; each in a fresh profile and a window that has been there for {SETTLED_MS / 1e3:g} s, for "
        f"{RESTED_MS / 1e3:g} s in those turns, {market_words(played)}. "
        f"To the far host every byte takes {_DELAY_S * 1e3:.0f} ms in each direction, over a line that the question "
        "for its name (a round trip) and the handshakes of each connection (two: TCP, TLS 1.3) take as well; without "
        "loss or slow start, which would cost more. The page itself comes from near; ASSET_BASE_URL names the far host."
    ]
    visits = {name: {"first": first, "second": second} for name, (first, second) in twice.items()}
    return result("browser", rows, notes=notes, visits=visits, plots={"bytes": _plot(twice)})


def _twice(browser: Browser, address: str, name: str) -> tuple[Visit, Visit]:
    with fresh_profile(browser) as context:
        ready = READY.get(name, "")
        return visit(context, address, ready), visit(context, address, ready)


def _paint(
    browser: Browser, host: str, name: str = "symbol", *, wait_ms: int = SETTLED_MS, before: str = EMPTY
) -> float:
    """Milliseconds to the largest contentful paint of a first visit."""
    with fresh_profile(browser) as context:
        return largest_paint_ms(context, host + PAGES[name], READY.get(name, ""), wait_ms=wait_ms, before=before)


def _bytes_rows(twice: Mapping[str, tuple[Visit, Visit]]) -> list[Row]:
    def heaviest(which: Callable[[tuple[Visit, Visit]], Visit]) -> tuple[str, Visit]:
        name = max(twice, key=lambda one: which(twice[one]).total_bytes)
        return name, which(twice[name])

    first_name, first = heaviest(lambda both: both[0])
    second_name, second = heaviest(lambda both: both[1])
    rows = [
        at_most(f"first visit of the heaviest page ({first_name})", _kb(first.total_bytes), FIRST_VISIT_BYTES / 1000),
        at_most(
            f"second visit of the heaviest page ({second_name})", _kb(second.total_bytes), SECOND_VISIT_BYTES / 1000
        ),
    ]
    whole = _unbundled_bytes()
    assets = sum(size for address, size in first.transferred_bytes.items() if "/assets/" in address)
    if whole:
        what = f"first visit, against Bootstrap, jQuery and the chart library whole: styles and scripts ({first_name})"
        rows.insert(0, faster(what, _kb(assets), _kb(whole), 2.5))
    return rows


def _kb(size: float) -> Reading:
    return Reading(size / 1000, 0.0, "KB")


def _unbundled_bytes() -> int:
    """0 where they cannot be had."""
    try:
        return sum(len(body) for package in _UNBUNDLED for body in _package(*package).values())
    except AssetError:
        return 0


def _package(name: str, version: str, paths: tuple[str, ...]) -> Mapping[str, bytes]:
    """From the first source that has it."""
    for _, source in SOURCES[:-1]:
        try:
            return source(name, version, paths)
        except AssetError:
            continue
    return SOURCES[-1][1](name, version, paths)


def _paint_rows(paints: Mapping[str, list[float]]) -> list[Row]:
    return [
        at_most(f"largest contentful paint, first visit: {name}", reading([one / 1000 for one in values], "s"), 0.5)
        for name, values in paints.items()
    ]


def _place_rows(apart: Mapping[str, list[float]]) -> list[Row]:
    away = f"{_DELAY_S * 1e3:.0f} ms away each way, name and handshakes included"
    what = f"page load with its own assets, against assets of a host {away} (LCP)"
    near, far = ({start: reading(apart[f"{name}, {start}"], "ms") for start in _FROM} for name in (_NEAR, _FAR))
    return [saves(f"{what}, {start}", near[start], far[start], 0.6) for start in _FROM]


def _plot(twice: Mapping[str, tuple[Visit, Visit]]) -> dict[str, Any]:
    lines = [
        {
            "name": name,
            "value": second.total_bytes / 1000,
            "second": first.total_bytes / 1000,
            "tick": FIRST_VISIT_BYTES / 1000,
            "text": f"{first.total_bytes / 1000:.1f} / {second.total_bytes / 1000:.1f} KB",
        }
        for name, (first, second) in twice.items()
    ]
    title = "Transferred by each page: first visit (wide bar), second (narrow bar), budget of the first (red)"
    return {"title": title, "unit": "KB", "lines": lines}


if __name__ == "__main__":
    run()
