"""The budget of bytes: what a visit of each page transfers, by the network events of a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import sync_playwright

from benchmarks.browsing import FIRST_VISIT_BYTES, PAGES, READY, SECOND_VISIT_BYTES, Visit, fresh_profile, visit
from tests.support.browser import launch, replayed_app, served

pytestmark = [pytest.mark.browser, pytest.mark.slow]
_MOST_SHIFT = 0.1
"""Layout shift that a reader does not feel, by the Web Vitals."""


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Visit, Visit]]]:
    """First and second visit of every page, each page in a fresh profile."""
    with (
        replayed_app(tmp_path_factory.mktemp("budget")) as replay,
        served(replay.app) as address,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        found = {}
        for name, path in PAGES.items():
            with fresh_profile(browser) as context:
                found[name] = (
                    visit(context, address + path, READY.get(name, "")),
                    visit(context, address + path, READY.get(name, "")),
                )
        browser.close()
        yield found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_keeps_to_the_budget_of_bytes(visits: dict[str, tuple[Visit, Visit]], name: str) -> None:
    first, second = visits[name]
    assert (first.status, second.status) == (200, 200)
    assert 5_000 < first.total_bytes <= FIRST_VISIT_BYTES, first.transferred_bytes
    assert second.total_bytes <= SECOND_VISIT_BYTES, second.transferred_bytes
    assert max(first.layout_shift, second.layout_shift) <= _MOST_SHIFT


def test_the_chart_library_travels_once_and_only_where_a_chart_is(visits: dict[str, tuple[Visit, Visit]]) -> None:
    def library(seen: Visit) -> list[int]:
        return [size for address, size in seen.transferred_bytes.items() if "lightweight-charts" in address]

    drawing = {name for name, (first, _) in visits.items() if library(first)}
    assert drawing == {"symbol"}
    first, second = visits["symbol"]
    assert sum(library(first)) > 40_000
    assert sum(library(second)) == 0
