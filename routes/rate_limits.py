"""Rate limits: how often one address may ask each route, dear ones far less often than cheap ones.

Answers sent from stored bytes (routes/stored_answers.py) never come here: they cost less than counting them would.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from flask import Flask
from flask.globals import request_ctx

from utils.clock import Clock
from utils.errors import TooManyRequests
from utils.loopback import is_loopback
from utils.token_buckets import TokenBuckets

View = TypeVar("View", bound=Callable[..., Any])

BURST_S = 10
"""Seconds' worth of cheap requests that may come at once: a browser that opens twenty pages is no attack."""
NETWORK_BITS = 64
"""Of an IPv6 address, what one household or server is given whole."""
_DEAR = "dear"
_OWN_LIMIT = frozenset({"login.enter"})
"""Counted by the route itself, more strictly: what it says of waiting must not be covered by a shorter wait of ours."""
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class RefusalStats:
    """Requests refused since the start, by kind of route; addresses and routes remembered."""

    cheap: int
    dear: int
    remembered: int


def dear(view: View) -> View:
    """Declares that a view costs much more than a page: below its route, as its budget."""
    setattr(view, _DEAR, True)
    return view


class RateLimits:
    """One bucket for each address and route.

    Reading a cheap route is not limited on this machine's own address: that is the operator, Prometheus and benchmarks,
    or a reverse proxy, which is then the one who knows its clients. Dear routes, and cheap ones that change something,
    are limited there too.
    """

    def __init__(self, app: Flask, clock: Clock, *, cheap_per_s: int, dear_per_min: int, workers: int = 1) -> None:
        """0 sets no limit. Each of `workers` processes allows its part."""
        self._dear_endpoints = frozenset(name for name, view in app.view_functions.items() if hasattr(view, _DEAR))
        self._cheap = _buckets(clock, cheap_per_s / workers, BURST_S * cheap_per_s // workers)
        self._dear = _buckets(clock, dear_per_min / 60 / workers, dear_per_min // workers)
        self._cheap_refused = self._dear_refused = 0

    def check(self) -> None:
        """TooManyRequests where the address has asked the route too often."""
        asked = request_ctx.request  # itself: each look through the proxy would cost a microsecond
        endpoint, address = asked.endpoint or "", asked.remote_addr or ""
        if endpoint in self._dear_endpoints:
            wait_s = self._dear.take((source_of(address), endpoint)) if self._dear is not None else 0.0
            self._dear_refused += wait_s > 0
        elif self._cheap is None or _is_free(endpoint, asked.method, address):
            return
        else:
            wait_s = self._cheap.take((source_of(address), endpoint))
            self._cheap_refused += wait_s > 0
        if wait_s > 0:
            raise TooManyRequests("your address has asked for this too often; wait a little", retry_after_s=wait_s)

    def stats(self) -> RefusalStats:
        remembered = sum(len(one) for one in (self._cheap, self._dear) if one is not None)
        return RefusalStats(self._cheap_refused, self._dear_refused, remembered)


def install(app: Flask, clock: Clock, *, cheap_per_s: int, dear_per_min: int, workers: int = 1) -> RateLimits:
    """Call it once the routes are known, and before the walls are put up: whoever is refused is asked nothing else."""
    limits = RateLimits(app, clock, cheap_per_s=cheap_per_s, dear_per_min=dear_per_min, workers=workers)
    app.before_request(limits.check)
    return limits


def _is_free(endpoint: str, method: str, address: str) -> bool:
    return (method in _SAFE_METHODS and on_this_machine(address)) or endpoint in _OWN_LIMIT


def _buckets(clock: Clock, rate_per_s: float, burst: int) -> TokenBuckets | None:
    return TokenBuckets(clock, rate_per_s=rate_per_s, burst=max(1, burst)) if rate_per_s > 0 else None


@lru_cache(maxsize=1024)
def source_of(address: str) -> str:
    """Who asks: an IPv4 address, or the network of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, NETWORK_BITS), strict=False))


on_this_machine = lru_cache(maxsize=1024)(is_loopback)
"""Remembered by address: it is asked with every request."""
