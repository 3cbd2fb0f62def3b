"""Answers: how a REST answer leaves the server, well or as a fault wants it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web

from data.simulated_exchange.faults import ANSWER_KINDS, Fault

_JSON = "application/json;charset=UTF-8"
_HUGE_BYTES = 100_000_000
_QUOTED_NUMBER = re.compile(rb'"-?\d[^"]*"')


def spoiled(payload: Any, faults: Sequence[Fault]) -> Any:
    """The payload after the faults of content that keep it JSON."""
    for fault in faults:
        spoil = _SPOILERS.get(fault.kind)
        if spoil is not None:
            payload = spoil(payload, fault.count)
    return payload


def encoded(payload: Any, faults: Sequence[Fault]) -> bytes:
    """The payload as bytes after all faults of content."""
    body = orjson.dumps(spoiled(payload, faults))
    kinds = {fault.kind for fault in faults}
    if "nan" in kinds:
        body = _with_nan(body)
    return body[: max(1, len(body) * 2 // 3)] if "bad_json" in kinds else body


def other_answer(faults: Sequence[Fault], headers: Mapping[str, str]) -> web.Response | None:
    """The answer of the first fault that wants another one."""
    fault = next((fault for fault in faults if fault.kind in ANSWER_KINDS), None)
    if fault is None:
        return None
    sent = {**headers, **fault.headers}
    kind = "text/html; charset=utf-8" if fault.kind == "html" else _JSON
    if fault.kind == "redirect":
        sent.setdefault("Location", fault.body or "http://127.0.0.1:9/elsewhere")
        return web.Response(status=fault.status if 300 <= fault.status < 400 else 302, headers=sent)
    sent.setdefault("Content-Type", kind)
    return web.Response(status=fault.status, body=fault.body.encode(), headers=sent)


def json_answer(body: bytes, headers: Mapping[str, str], status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, headers={**headers, "Content-Type": _JSON})


async def deliver(request: web.Request, answer: web.Response, fault: Fault) -> web.StreamResponse:
    """Sends (or does not send) the answer as a fault of transport wants it, and ends the connection."""
    transport = request.transport
    if transport is None:
        return answer
    if fault.kind == "hang":
        await _until_gone(request)
    elif fault.kind == "truncate":
        head, body = _raw(answer)
        transport.write(head + body[: len(body) // 2])
        await asyncio.sleep(0)
        transport.close()
    elif fault.kind in ("drip_body", "drip_headers"):
        await _drip(request, answer, fault)
    elif fault.kind == "huge":
        answer = json_answer(b'{"x":"' + b"x" * _HUGE_BYTES + b'"}', answer.headers)
        return answer
    else:
        transport.abort()
    answer.force_close()
    return answer


async def _until_gone(request: web.Request) -> None:
    """Says nothing until the client has gone (or the server is closed)."""
    while request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0.05)


async def _drip(request: web.Request, answer: web.Response, fault: Fault) -> None:
    """One byte at a time: of the headers, or of the body after whole headers."""
    head, body = _raw(answer)
    if fault.kind == "drip_body":
        _write(request, head)
        head, body = b"", body
    for place in range(len(head + body)):
        if request.transport is None or request.transport.is_closing():
            return
        _write(request, (head + body)[place : place + 1])
        await asyncio.sleep(fault.delay_s)


def _write(request: web.Request, data: bytes) -> None:
    if request.transport is not None:
        request.transport.write(data)


def _raw(answer: web.Response) -> tuple[bytes, bytes]:
    body = answer.body if isinstance(answer.body, bytes) else b""
    headers = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    return f"HTTP/1.1 {answer.status} OK\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode(), body


def _with_nan(body: bytes) -> bytes:
    """The first quoted number becomes a bare NaN, which is no JSON but which Python's own parser takes."""
    found = _QUOTED_NUMBER.search(body)
    if found is None:
        return b'{"value":NaN}'
    return body[: found.start()] + b"NaN" + body[found.end() :]


def _middle(payload: Any, count: int) -> tuple[int, int]:
    first = max(1, len(payload) // 2)
    return first, min(first + count, len(payload))


def _gap(payload: Any, count: int) -> Any:
    if not isinstance(payload, list):
        return payload
    first, end = _middle(payload, count)
    return payload[:first] + payload[end:]


def _duplicate(payload: Any, count: int) -> Any:
    if not isinstance(payload, list):
        return payload
    first, end = _middle(payload, count)
    return payload[:end] + payload[first:]


def _reorder(payload: Any, count: int) -> Any:
    if not isinstance(payload, list) or len(payload) < 2:
        return payload
    first = len(payload) // 2
    return [*payload[: first - 1], payload[first], payload[first - 1], *payload[first + 1 :]]


def _stale(payload: Any, count: int) -> Any:
    return payload[: max(0, len(payload) - count)] if isinstance(payload, list) else payload


def _wrong_shape(payload: Any, count: int) -> Any:
    return {"rows": payload} if isinstance(payload, list) else [payload]


_SPOILERS = {"gap": _gap, "duplicate": _duplicate, "reorder": _reorder, "stale": _stale, "wrong_shape": _wrong_shape}
