"""The one import of python-binance, and what must be said to it first. Takes 0.4 s: only in a loop thread.

Its synchronous half, which nothing here uses, brings `requests` and `dateparser`: 15 MB and 0.2 s. While it is imported
both are hollow, and afterwards both are there again for whoever asks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import websockets
from websockets.asyncio.client import ClientConnection

# python-binance names this class for a type hint; the lookup imports websockets' deprecated half and warns.
vars(websockets)["WebSocketClientProtocol"] = ClientConnection


@contextmanager
def _hollow(**named: tuple[str, ...]) -> Iterator[None]:
    """Inside, these modules, unless they are there already, hold nothing but the names they are asked for in hints."""
    absent = [name for name in named if name not in sys.modules]
    for name in absent:
        sys.modules[name] = module = ModuleType(name, "left out while python-binance is imported")
        vars(module).update(dict.fromkeys(named[name], object))
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


with _hollow(requests=("Session", "Response"), dateparser=()):
    from binance.async_client import AsyncClient
    from binance.exceptions import BinanceAPIException, BinanceRequestException
    from binance.ws.reconnecting_websocket import ReconnectingWebsocket

__all__ = ["AsyncClient", "BinanceAPIException", "BinanceRequestException", "ReconnectingWebsocket"]
