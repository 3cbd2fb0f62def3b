"""`python -m data.simulated_exchange`: an exchange on this machine until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from data.simulated_exchange.market import Market
from data.simulated_exchange.replay import ReplaySource
from data.simulated_exchange.server import SimulatedExchange
from data.simulated_exchange.settings import ExchangeSettings
from data.simulated_exchange.synthetic import SyntheticSource
from data.simulated_exchange.virtual_clock import VirtualClock
from data.symbol import Symbol
from utils.clock import SystemClock
from utils.errors import InvalidInput

_REPLAY_WEEKS_MS = 3 * 7 * 86_400_000
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 2: a wrong option; 1: the address is taken."""
    options = _parser().parse_args(arguments)
    parent = os.getppid() if options.with_parent else None
    try:
        exchange = _exchange(options)
        asyncio.run(_serve(exchange, options.host, options.port, parent))
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{options.host}:{options.port} cannot be listened on ({error}); choose another --port", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data.simulated_exchange", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 picks a free one")
    parser.add_argument("--host", choices=_LOOPBACK, default="127.0.0.1", help="loopback only: it has no password")
    parser.add_argument("--replay", type=Path, metavar="DIR", help="folder of SYMBOL-INTERVAL.parquet candles")
    parser.add_argument(
        "--start", metavar="DATE", help="UTC date or time at which its clock begins, such as 2025-06-01"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="how many of its seconds pass in one of ours")
    parser.add_argument("--seed", type=int, default=7, help="of the synthetic market")
    parser.add_argument(
        "--symbols", type=_symbols, default=20, help="how many synthetic markets, up to 500, or their names: BTCUSDT,…"
    )
    parser.add_argument(
        "--weight-limit",
        type=int,
        default=ExchangeSettings().weight_limit,
        help="request weight of an address a minute",
    )
    parser.add_argument("--with-parent", action="store_true", help="stop when the process that started this one ends")
    return parser


def _exchange(options: argparse.Namespace) -> SimulatedExchange:
    source: ReplaySource | SyntheticSource
    if options.replay:
        source = ReplaySource(options.replay)
    else:
        source = SyntheticSource(seed=options.seed, symbols=options.symbols)
    market = Market(source)
    start = _moment(options.start) if options.start else None
    if start is None and market.end_ms is not None:
        start = market.end_ms - _REPLAY_WEEKS_MS
    clock = VirtualClock(SystemClock(), start_ms=start, speed=options.speed, end_ms=market.end_ms)
    return SimulatedExchange(market, clock, settings=ExchangeSettings(weight_limit=options.weight_limit))


def _symbols(text: str) -> int | tuple[str, ...]:
    return int(text) if text.isdecimal() else tuple(Symbol.parse(name) for name in text.split(","))


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"--start {text!r} is no date; write it as 2025-06-01 or 2025-06-01T12:00") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


async def _serve(exchange: SimulatedExchange, host: str, port: int, parent: int | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    await exchange.start(host, port)
    shown = f"[{host}]" if ":" in host else host
    print(f"listening on http://{shown}:{exchange.port}", flush=True)
    while not stopped.is_set() and (parent is None or os.getppid() == parent):
        try:
            await asyncio.wait_for(stopped.wait(), 1.0)
        except TimeoutError:
            continue
    await exchange.close()


if __name__ == "__main__":
    sys.exit(main())
