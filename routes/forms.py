"""Forms: what a reader may ask in an address, parsed once into values that the rest trusts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from flask import Request

from data.interval import Interval
from data.symbol import Symbol
from routes.services import MarketFace
from utils.errors import InvalidInput, NotFound
from utils.phrases import some

Theme = Literal["auto", "light", "dark"]
Zone = Literal["utc", "local"]

THEMES: tuple[Theme, ...] = ("auto", "light", "dark")
THEME_COOKIE = "theme"
NOTHING = "none"
"""Stands in an address for a choice of nothing, which an empty form field cannot tell from no choice."""
MOST_LISTED = 30
"""Names that an error lists of those that fit."""
_LONGEST_SEARCH = 40
_LONGEST_MODEL = 80


def parse_symbol(text: str, market: MarketFace) -> Symbol:
    """A followed market, or NotFound with the markets that are."""
    symbol = Symbol.parse(text)
    if symbol not in market.symbols:
        raise NotFound(f"market {symbol} is not followed here; followed are {some(market.symbols, MOST_LISTED)}")
    return symbol


def parse_interval(text: str | None, market: MarketFace) -> Interval:
    """A followed interval (nothing: the first), or InvalidInput with those that are."""
    if not text:
        return market.intervals[0]
    interval = Interval.parse(text)
    if interval not in market.intervals:
        raise InvalidInput(f"interval {text!r} is not followed here; use one of {', '.join(market.intervals)}")
    return interval


def parse_limit(text: str | None, *, default: int, most: int, name: str = "limit", least: int = 1) -> int:
    """A whole number from `least` to `most` (nothing: the default), or InvalidInput that tells of it by its name."""
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or not least <= int(text[: len(str(most)) + 1]) <= most:
        raise InvalidInput(f"{name} is {text[:20]!r}; use a whole number from {least} to {most}")
    return int(text)


def parse_whole(name: str, text: str) -> int:
    """A whole number that a form's field must hold."""
    given = text.strip()
    if not (given.isascii() and given.isdigit()) or len(given) > 9:
        raise InvalidInput(f"{name} is {given[:20]!r}; use a whole number such as 24")
    return int(given)


def parse_names(text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """Comma-separated indicator names in the order asked (nothing: all), each once."""
    if not text:
        return tuple(known)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        given = ", ".join(repr(name[:40]) for name in unknown[:5]) or repr(text[:40])
        raise InvalidInput(f"names is {given}; use some of {', '.join(known)}")
    return names


def parse_choices(name: str, asked: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Those of `known` that were asked for, in the order of `known`, or InvalidInput; NOTHING stands for none."""
    wanted = set(asked) - {NOTHING}
    if unknown := sorted(wanted - set(known)):
        raise InvalidInput(f"{name} is {unknown[0][:40]!r}; use {NOTHING} or some of {', '.join(known)}")
    return tuple(one for one in known if one in wanted)


def parse_zone(text: str | None) -> Zone:
    """The zone of times (nothing: UTC), or InvalidInput with those that fit."""
    if text not in (None, "", "utc", "local"):
        raise InvalidInput(f"tz is {text[:20]!r}; use utc or local")
    return "local" if text == "local" else "utc"


def parse_model(text: str | None) -> str | None:
    """A model's id as it was asked for; None where the one that serves is meant."""
    return text[:_LONGEST_MODEL] if text else None


def parse_search(text: str | None) -> str:
    return (text or "").strip().upper()[:_LONGEST_SEARCH]


def theme_of(request: Request) -> Theme:
    """What the reader chose and a small cookie remembers; `auto` follows the system."""
    chosen = request.cookies.get(THEME_COOKIE)
    return next((theme for theme in THEMES if theme == chosen), "auto")


def local_path(text: str | None) -> str:
    """A path on this very site to go back to; anything that could lead elsewhere becomes the overview."""
    path = text or "/"
    plain = path.isprintable() and "\\" not in path and not path.startswith("//")
    return path if plain and path.startswith("/") else "/"
