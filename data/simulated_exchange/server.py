"""Server: one port that answers REST and carries the streams, as Binance's hosts do."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import orjson
from aiohttp import web

from data.simulated_exchange import answers
from data.simulated_exchange.errors import ApiError
from data.simulated_exchange.faults import ANSWER_KINDS, CONTENT_KINDS, TRANSPORT_KINDS, Fault, FaultPlan
from data.simulated_exchange.journal import Entry, Journal
from data.simulated_exchange.limits import Limits
from data.simulated_exchange.market import Market
from data.simulated_exchange.rest import ENDPOINTS, Scene
from data.simulated_exchange.settings import ExchangeSettings
from data.simulated_exchange.streams import StreamHub
from data.simulated_exchange.virtual_clock import VirtualClock
from utils.clock import Clock

_REST_KINDS = ("delay", *CONTENT_KINDS, *TRANSPORT_KINDS, *ANSWER_KINDS)
_HTML_404 = "<html><body><h2>404 Not found</h2></body></html>"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SimulatedExchange:
    """A market, a clock, limits and a fault plan behind one port."""

    def __init__(
        self,
        market: Market,
        clock: Clock | VirtualClock,
        *,
        settings: ExchangeSettings | None = None,
        faults: FaultPlan | None = None,
    ) -> None:
        self.market = market
        self.clock = clock
        self.settings = settings or ExchangeSettings()
        self.faults = faults or FaultPlan()
        self.journal = Journal()
        self.limits = Limits(clock, self.settings)
        self.streams = StreamHub(market, clock, self.limits, self.settings, self.faults)
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listens; `port` 0 picks a free one. OSError when the port is taken."""
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        self.streams.start()

    async def close(self) -> None:
        await self.streams.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=65_536)
        app.router.add_get("/ws", self.streams.connect)
        app.router.add_get("/ws/{streams:.*}", self.streams.connect)
        app.router.add_get("/stream", self.streams.connect)
        app.router.add_route("*", "/{path:.*}", self._rest)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A page of another site must not reach this server under a name of its own."""
        name = request.host.rsplit(":", 1)[0].strip("[]") if ":" in request.host else request.host
        if name not in self.settings.hosts:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text="this Host is not served here\n")
        return await handler(request)

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        endpoint = ENDPOINTS.get(request.path)
        weight = endpoint.weight(request.query) if endpoint else 1
        faults = self.faults.strike(request.path, _REST_KINDS)
        for fault in faults:
            if fault.kind == "delay":
                await asyncio.sleep(fault.delay_s)
        answer = self._answer(request, weight, faults)
        transport = next((fault for fault in faults if fault.kind in TRANSPORT_KINDS), None)
        self._note(request, weight, 0 if transport else answer.status)
        return answer if transport is None else await answers.deliver(request, answer, transport)

    def _answer(self, request: web.Request, weight: int, faults: list[Fault]) -> web.Response:
        address = request.remote or ""
        try:
            used = self.limits.charge(address, weight)
            headers = _weight_headers(used)
            other = answers.other_answer(faults, headers)
            return other or self._well(request, headers, faults)
        except ApiError as refusal:
            headers = {**_weight_headers(self.limits.used(address)), **refusal.headers}
            body = orjson.dumps({"code": refusal.code, "msg": refusal.msg})
            return answers.json_answer(body, headers, refusal.status)

    def _well(self, request: web.Request, headers: dict[str, str], faults: list[Fault]) -> web.Response:
        endpoint = ENDPOINTS.get(request.path)
        if endpoint is None:
            html = "text/html" in request.headers.get("Accept", "")
            kind = "text/html" if html else "text/plain"
            return web.Response(status=404, text=_HTML_404 if html else "", content_type=kind, headers=headers)
        if request.method != "GET":
            return web.Response(status=405, headers={**headers, "Allow": "GET"})
        scene = Scene(self.market, self.clock.now_ms(), self.settings)
        return answers.json_answer(answers.encoded(endpoint(scene, request.query), faults), headers)

    def _note(self, request: web.Request, weight: int, status: int) -> None:
        params = tuple(request.query.items())
        self.journal.write(Entry(request.method, request.path, params, weight, status, self.clock.now_ms()))


def _weight_headers(used: int) -> dict[str, str]:
    return {
        "X-MBX-USED-WEIGHT": str(used),
        "X-MBX-USED-WEIGHT-1M": str(used),
        "x-mbx-uuid": str(uuid.uuid4()),
        "Cache-Control": "no-cache, no-store, must-revalidate",
    }
