"""The python-binance client, read strictly. Importing this imports python-binance: only in the loop thread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from data.binance_library import AsyncClient, BinanceAPIException, BinanceRequestException
from data.gateway_errors import Answer
from utils.errors import BadData, ExchangeError, ExchangeUnavailable

MAX_BODY_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = 256 * 1024
_CONNECTIONS = 32

FAULTS: tuple[tuple[type[BaseException], type[ExchangeError], str], ...] = (
    (aiohttp.ClientConnectorDNSError, ExchangeUnavailable, "its name could not be resolved (DNS)"),
    (aiohttp.ClientConnectorCertificateError, ExchangeUnavailable, "its certificate is not valid (TLS)"),
    (aiohttp.ClientSSLError, ExchangeUnavailable, "no secure connection could be made (TLS)"),
    (TimeoutError, ExchangeUnavailable, "it gave no complete answer in time"),
    (aiohttp.ClientConnectorError, ExchangeUnavailable, "the connection was refused"),
    (aiohttp.ClientConnectionError, ExchangeUnavailable, "the connection broke"),
    (aiohttp.ClientPayloadError, BadData, "its answer was cut short"),
    (aiohttp.ClientResponseError, BadData, "its answer is not proper HTTP"),
    (aiohttp.ClientError, ExchangeUnavailable, "it could not be asked"),
    (BinanceAPIException, ExchangeUnavailable, "the client library gave up"),
    (BinanceRequestException, BadData, "the client library could not read the answer"),
    (OSError, ExchangeUnavailable, "the network failed"),
)
"""What the libraries raise, what it is called here, and why in words; the first row that fits counts."""


ASKED = {
    "time": "for its time",
    "ping": "whether it is there",
    "klines": "for candles",
    "exchangeInfo": "for its markets",
    "ticker/24hr": "for the prices of 24 hours",
}
"""What each path of the interface is asked for, in words."""


def translated(error: BaseException, host: str, path: str) -> ExchangeError | None:
    """Our error for a library's; None where the table does not know it."""
    for kind, ours, words in FAULTS:
        if isinstance(error, kind):
            return ours(f"{host} was asked {ASKED.get(path, f'for {path}')}, but {words}")
    return None


class StrictClient(AsyncClient):  # type: ignore[misc]  # python-binance has no types
    """python-binance's own client, except that an answer is handed on whole: status, headers, body.

    The library accepts NaN, follows the last response through an attribute shared by all calls, and loses the headers;
    `_handle_response` is the one place where it reads an answer, so this replaces that.
    """

    def _init_session(self) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = super()._init_session()
        # aiohttp repeats a GET by itself when a kept connection breaks: unseen, uncounted, three more for our three.
        session._retry_connection = False
        return session

    async def _handle_response(self, response: aiohttp.ClientResponse) -> Answer:
        declared = response.content_length
        if declared is not None and declared > MAX_BODY_BYTES:
            raise BadData(f"an answer of {declared:,} bytes is larger than {MAX_BODY_BYTES:,} bytes; it was not read")
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_chunked(_CHUNK_BYTES):
            size += len(part)
            if size > MAX_BODY_BYTES:
                response.close()
                raise BadData(f"an answer went on past {MAX_BODY_BYTES:,} bytes; it was not read to its end")
            parts.append(part)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, b"".join(parts))

    async def fetch(self, path: str, params: Mapping[str, str | int]) -> Answer:
        """One GET of `path` below the API's version. The library quotes `symbol` itself, and nothing else."""
        data = {name: value if name == "symbol" else quote(str(value), safe="") for name, value in params.items()}
        answer: Answer = await self._get(path, data=data)
        return answer


def open_client(rest_url: str, *, api_key: str, api_secret: str, timeout_s: float) -> StrictClient:
    """A client of `rest_url` (scheme and host, with or without /api). To be called in the loop that will use it."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    api_url = rest_url.rstrip("/").removesuffix("/api") + "/api"
    kind: Any = type("ClientOfHost", (StrictClient,), {"API_URL": api_url})
    client: StrictClient = kind(
        api_key=api_key or None,
        api_secret=api_secret or None,
        loop=asyncio.get_running_loop(),
        requests_params={"allow_redirects": False, "timeout": timeout},
        session_params={
            "trust_env": False,
            "timeout": timeout,
            "connector": aiohttp.TCPConnector(limit=_CONNECTIONS),
            "cookie_jar": aiohttp.DummyCookieJar(),
        },
    )
    return client
