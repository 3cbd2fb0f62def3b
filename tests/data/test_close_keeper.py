"""The close keeper: what is told close together is stored together, in another thread, and nothing after its end."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from data.candles import Candles
from data.close_keeper import CloseKeeper
from tests.support.made_candles import made_candles
from tests.support.market import no_thread_left, wait_until


def test_what_closes_within_a_moment_is_stored_at_once_and_elsewhere() -> None:
    kept: list[tuple[list[str], str]] = []
    going_on = threading.Event()

    def keep(closes: Sequence[Candles]) -> None:
        kept.append(([one.symbol for one in closes], threading.current_thread().name))
        going_on.wait(30)

    with no_thread_left():
        keeper = CloseKeeper(keep, calm_s=0.0)
        keeper.start()
        keeper.put([made_candles(1)])
        wait_until(lambda: kept)
        for name in ("ETHUSDT", "BNBUSDT"):
            keeper.put([made_candles(1, symbol=name)])
        going_on.set()
        wait_until(lambda: len(kept) == 2)
        keeper.close()
    assert [names for names, _ in kept] == [["BTCUSDT"], ["ETHUSDT", "BNBUSDT"]]
    assert {thread.rstrip("_0") for _, thread in kept} == {"market-feed-store"}


def test_what_waits_at_the_end_is_left_to_the_next_start() -> None:
    kept: list[Sequence[Candles]] = []
    with no_thread_left():
        keeper = CloseKeeper(kept.append, calm_s=3600.0)
        keeper.start()
        keeper.put([made_candles(1)])
        keeper.close()
        keeper.put([made_candles(1)])
        assert kept == []
        keeper.start()
        keeper.close()
    assert kept == []


def test_it_can_begin_again() -> None:
    kept: list[Sequence[Candles]] = []
    with no_thread_left():
        keeper = CloseKeeper(kept.append, calm_s=0.0)
        keeper.put([made_candles(3)])
        keeper.start()
        keeper.put([made_candles(1)])
        wait_until(lambda: kept)
        keeper.close()
    assert [len(one) for closes in kept for one in closes] == [1]
