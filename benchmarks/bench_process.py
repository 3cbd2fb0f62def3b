"""Process: memory and start of the application as it is, against the same with TensorFlow in its process."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import mean
from typing import Any

from benchmarks.bench_memory import SETTLE_S
from benchmarks.load import fetch, load_each
from benchmarks.measure import Reading, Row, at_most, faster, own_memory_mb, print_rows, reading, result, saves
from benchmarks.served import Served, market, market_words, served

_MB = 1_000_000
_READINGS = 100
"""Of memory, while it is asked."""
_WITH_TENSORFLOW = ("-m", "benchmarks.with_tensorflow")
_WITHOUT_CARE = {"ENABLE_MEMORY_MONITORING": "False"}
"""What takes care of memory is off on the other side."""


def run(*, short: bool = False) -> dict[str, Any]:
    """Both started one after the other on the same market, every market's page read, and the resident memory taken."""
    starts, markets = (1, 3) if short else (2, 20)
    played = market(markets)
    seen: list[tuple[Served, float]] = []
    other: list[tuple[Served, float]] = []
    for number in range(starts):
        with _read(played, ("app.py",)) as server:
            with _read({**played, **_WITHOUT_CARE}, _WITH_TENSORFLOW) as beside:
                time.sleep(SETTLE_S)
                for one, kept in ((server, seen), (beside, other)):
                    kept.append((one, one.process.memory_info().rss / _MB))
            if number == starts - 1:
                growth = _growth(server, played, 2_000 if short else 100_000)
    ours, theirs = (
        [reading([rss_mb for _, rss_mb in kept], "MB"), reading([one.first_answer_s for one, _ in kept], "s")]
        for kept in (seen, other)
    )
    rows = [
        saves(
            "serving process, against the same with TensorFlow in it and ENABLE_MEMORY_MONITORING=False",
            ours[0],
            theirs[0],
            0.7,
        ),
        faster("start to first answer, against the same with TensorFlow in it", ours[1], theirs[1], None),
        growth,
    ]
    print_rows(f"Process, {market_words(played)}", rows)
    return result(
        "process",
        rows,
        notes=[f"{starts} starts of each in turns, {market_words(played)}. Growth is of the last one, as it is."],
    )


@contextmanager
def _read(played: dict[str, str], program: tuple[str, ...]) -> Iterator[Served]:
    """Running, and every market's page read."""
    with served(played, program=program) as server:
        for symbol in played["SYMBOLS"].split(","):
            status, answer = fetch(server.port, f"/symbol/{symbol}", 60.0)
            assert status == 200, answer[:300]
        yield server


def _growth(server: Served, played: dict[str, str], requests: int) -> Row:
    """Of the process's own memory, from after the first fifth, when all there is to keep is kept: the mean of readings
    during one tenth of the requests against that of the last tenth."""
    paths = [
        path.format(symbol)
        for symbol in played["SYMBOLS"].split(",")
        for path in ("/", "/symbol/{}?interval=1h", "/symbol/{}/live?interval=1h", "/api/v1/candles/{}?interval=1h")
    ]
    asked = itertools.cycle(paths)
    seen_mb = []
    for _ in range(_READINGS + _READINGS // 5):
        seen = load_each(server.port, itertools.islice(asked, requests // _READINGS))
        assert set(seen.statuses) == {200}, seen.statuses
        seen_mb.append(own_memory_mb(server.process))
    tenth = _READINGS // 10
    before, after = mean(seen_mb[2 * tenth : 3 * tenth]), mean(seen_mb[-tenth:])
    growth = Reading(round(100 * (after / before - 1), 3), 0.0, "%")
    return at_most(f"growth of its own memory over {requests:,} requests, from {before:.1f} MB", growth, 2)


if __name__ == "__main__":
    run()
