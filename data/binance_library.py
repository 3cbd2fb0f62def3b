"""The one import of python-binance, and what must be said to it first. Takes 0.6 s: only in a loop thread."""

from __future__ import annotations

import websockets
from websockets.asyncio.client import ClientConnection

# python-binance names this class for a type hint; the lookup imports websockets' deprecated half and warns.
vars(websockets)["WebSocketClientProtocol"] = ClientConnection

from binance.async_client import AsyncClient  # noqa: E402 - the line above has to come first
from binance.exceptions import BinanceAPIException, BinanceRequestException  # noqa: E402
from binance.ws.reconnecting_websocket import ReconnectingWebsocket  # noqa: E402

__all__ = ["AsyncClient", "BinanceAPIException", "BinanceRequestException", "ReconnectingWebsocket"]
