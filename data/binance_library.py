"""The one import of python-binance, and what must be said to it first. Takes 0.3 s: only in a loop thread.

What nothing here uses is left out: its synchronous half, 700 KB of source that its other half asks for the docstrings
of every call, with the `requests` and `dateparser` it brings; and `Crypto`, with which it would sign by private keys.
Together that is 19 MB and 0.3 s. While it is imported they are hollow, and afterwards there again for whoever asks.
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


class _Anything(type):
    """A class of which every attribute is the class itself."""

    def __getattr__(cls, name: str) -> _Anything:
        return cls


class _Absent(metaclass=_Anything):
    """Left out while python-binance was imported."""


@contextmanager
def _hollow(named: dict[str, tuple[str, ...]]) -> Iterator[None]:
    """Inside, these modules, unless they are there already, hold nothing but the names that are asked of them."""
    absent = [name for name in named if name not in sys.modules]
    for name in absent:
        sys.modules[name] = module = ModuleType(name, "left out while python-binance is imported")
        vars(module).update(dict.fromkeys(named[name], _Absent))
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


_LEFT_OUT = {
    "requests": ("Session", "Response"),
    "dateparser": (),
    "binance.client": ("Client",),
    "Crypto": (),
    "Crypto.PublicKey": ("RSA", "ECC"),
    "Crypto.Hash": ("SHA256",),
    "Crypto.Signature": ("pkcs1_15", "eddsa"),
}
"""Each with what is asked of it by name."""

with _hollow(_LEFT_OUT):
    from binance.async_client import AsyncClient
    from binance.exceptions import BinanceAPIException, BinanceRequestException
    from binance.ws.reconnecting_websocket import ReconnectingWebsocket

__all__ = ["AsyncClient", "BinanceAPIException", "BinanceRequestException", "ReconnectingWebsocket"]
