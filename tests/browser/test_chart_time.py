"""The chart's time: ticks on the reader's own hours and days, and any stretch of history in what a screen can show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Response, sync_playwright

from tests.browser.test_screen import CHART, Site, Watched, opened
from tests.support.browser import launch, replayed_app, served

pytestmark = pytest.mark.browser

DAY, HOUR_6, HOUR = 50, 32, 30
WEIGHTS = """async ([axis, library, times]) => {
    const { localAxis } = await import(axis);
    const points = times.map((time) => ({ originalTime: time, time: {}, timeWeight: 0 }));
    localAxis(await import(library)).fillWeightsForPoints(points, 0);
    return points.map((point) => point.timeWeight);
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("chart-time")
    with (
        replayed_app(folder, ("BTCUSDT",)) as replay,
        served(replay.app) as address,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        yield Site(address, replay, browser)
        browser.close()


def weights(site: Site, zone: str, times: list[datetime]) -> dict[datetime, int]:
    with opened(site, "/symbol/BTCUSDT?tz=local", timezone_id=zone) as watched:
        page = watched.page
        page.wait_for_selector(CHART)
        script = page.get_attribute("script[src*='symbol.js']", "src")
        library = page.get_attribute("#chart", "data-module")
        assert script is not None
        seconds = [int(time.timestamp()) for time in times]
        found = page.evaluate(WEIGHTS, [script.replace("symbol.js", "local_axis.js"), library, seconds])
    return dict(zip(times, found, strict=True))


def hours(year: int, month: int, day: int, count: int) -> list[datetime]:
    first = int(datetime(year, month, day, tzinfo=UTC).timestamp())
    return [datetime.fromtimestamp(first + 3600 * at, UTC) for at in range(count)]


def test_days_begin_at_the_readers_midnight_also_where_hours_are_half_shifted(site: Site) -> None:
    times = hours(2026, 3, 10, 48)
    found = weights(site, "Asia/Kolkata", times)
    assert [time.hour for time, weight in found.items() if weight == DAY] == [19, 19], "00:30 is the day's first candle"
    utc = weights(site, "UTC", times)
    assert [time.hour for time, weight in utc.items() if weight == DAY] == [0, 0]


def test_summer_time_begins_and_ends_within_the_ticks(site: Site) -> None:
    """New York changed to summer time on 8 March 2026 (UTC−5 to −4): midnight is 05:00 UTC before, 04:00 after."""
    found = weights(site, "America/New_York", hours(2026, 3, 7, 96))
    assert [time.hour for time, weight in found.items() if weight == DAY] == [5, 5, 4, 4]
    sixes = [time.hour for time, weight in found.items() if weight == HOUR_6 and time.day == 9]
    assert sixes == [10, 22], "06:00 and 18:00 there"
    autumn = weights(site, "America/New_York", hours(2026, 10, 31, 72))
    assert [time.hour for time, weight in autumn.items() if weight >= DAY] == [4, 4, 5]


def press(watched: Watched, key: str, times: int) -> None:
    for _ in range(times):
        watched.page.keyboard.press(key)
    watched.page.wait_for_timeout(400)


def test_zooming_out_brings_all_history_in_few_bars_and_zooming_in_every_candle(site: Site) -> None:
    with opened(site, "/symbol/BTCUSDT") as watched:
        page = watched.page
        answers: list[dict[str, Any]] = []

        def note(answer: Response) -> None:
            if "chart.json" in answer.url and "points=" in answer.url:
                answers.append(json.loads(answer.body()))

        page.wait_for_selector(CHART)
        page.on("response", note)
        page.focus("#chart")
        for _ in range(8):
            press(watched, "-", 8)
            if answers and answers[-1]["each"] > 1 and not answers[-1]["older"]:
                break
        whole = answers[-1]
        stored = site.replay.market.stored(
            site.replay.market.symbols[0], site.replay.market.intervals[0], 0, 2**50, 9999
        )
        assert whole["each"] == 2
        assert whole["older"] is False
        assert max(whole["high"]) == stored.high.max()
        assert len(whole["open_time_ms"]) < len(stored) * 0.6
        for _ in range(10):
            press(watched, "+", 8)
            if answers[-1]["each"] == 1:
                break
        assert answers[-1]["each"] == 1
        page.keyboard.press("End")
        page.wait_for_function("document.querySelector('#chart .legend b')?.textContent.includes('forming')")
        assert page.get_attribute("#chart", "data-problem") is None
