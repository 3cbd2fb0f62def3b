"""Append-only, as a property: whatever is done in whatever order, no word changes once written, none is said twice."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from data.candles import Candles
from data.database import Database, connect
from models.ledger import Ledger
from tests.support import tiny_model
from tests.support.ledgers import HOUR_MS, forecast
from utils.clock import ManualClock

WHOLE = tiny_model.candles(40)
ROWS = st.integers(0, 35)
STEP = st.one_of(
    st.tuples(st.just("append"), ROWS, st.floats(-0.1, 0.1)),
    st.tuples(st.just("score"), st.integers(1, 40), st.integers(0, 3)),
    st.tuples(st.just("jump"), st.integers(-500, 500), st.just(0)),
    st.tuples(st.just("restart"), st.just(0), st.just(0)),
)
SAID = "symbol, last_open_time_ms, made_at_ms, last_close, sigma, log_returns, chain"
Words = dict[tuple[object, ...], tuple[object, ...]]


@given(steps=st.lists(STEP, min_size=1, max_size=25))
@settings(max_examples=15, deadline=None)
def test_no_word_once_written_ever_changes(steps: list[tuple[str, int, float]]) -> None:
    database = connect("sqlite://")
    clock = ManualClock(tiny_model.START_MS)
    ledger, before = Ledger(database, clock), Words()
    for what, number, more in steps:
        if what == "append":
            made = forecast(WHOLE, number, bias=more)
            ledger.append([replace(made, made_at_ms=clock.now_ms())])
        elif what == "score":
            ledger.score(with_hole(number, int(more)))
        elif what == "jump":
            clock.set_wall(clock.now_ms() + number * HOUR_MS)
        else:
            ledger = Ledger(database, clock)
        after = words(database)
        assert before.items() <= after.items()
        before = after
    assert ledger.verify().intact
    counts = ledger.counts()
    assert counts["forecasts"] == len({key for key in before if key[0] == "forecast"})
    assert counts["scored"] + counts["unscorable"] == len({key for key in before if key[0] == "score"})
    assert ledger.skill(model_id="tiny").count == counts["scored"]
    database.close()


def with_hole(count: int, width: int) -> Candles:
    part = WHOLE.slice(0, count)
    return tiny_model.without(part, count // 2, min(count - 1, count // 2 + width)) if count > 4 and width else part


def words(database: Database) -> Words:
    """Everything that was said of forecasts and of their outcomes; what is still open may change."""
    with database.read() as connection:
        said = connection.execute(sa.text(f"SELECT key, {SAID} FROM ledger_forecasts")).all()  # noqa: S608 - ours
        scored = connection.execute(sa.text("SELECT * FROM ledger_scores")).mappings().all()
    found: Words = {("forecast", row[0]): tuple(row[1:]) for row in said}
    return found | {("score", row["forecast"], row["horizon"]): tuple(row.values()) for row in scored}
