"""REST parameters: read once, refused with the exchange's own words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import orjson

from data.interval import Interval
from data.simulated_exchange import errors

if TYPE_CHECKING:
    from multidict import MultiMapping

_INTEGER = re.compile(errors.INTEGER)
_SYMBOL = re.compile(r"^[\w.-]{1,20}$")
_SYMBOLS = re.compile(r'^\[("[\w.-]{1,20}"(,"[\w.-]{1,20}")*)?\]$')
_STATUSES = ("TRADING", "HALT", "BREAK")
_ZONE = re.compile(r"^([+-]?)(\d{1,2})(?::(\d{2}))?$")


class Params:
    """The query of one request; every getter answers None for what was not sent."""

    def __init__(self, query: MultiMapping[str], allowed: Iterable[str], mandatory: Iterable[str] = ()) -> None:
        self.values: Mapping[str, str] = dict(query)
        if len(self.values) != len(query):
            raise errors.duplicate_parameter()
        for name in mandatory:
            if not self.values.get(name):
                raise errors.missing(name)
        read = sum(name in self.values for name in allowed)
        if read != len(self.values):
            raise errors.unread(read, len(self.values))

    def integer(self, name: str) -> int | None:
        text = self._text(name)
        if text is None:
            return None
        if not _INTEGER.fullmatch(text):
            raise errors.illegal_characters(name, errors.INTEGER)
        return int(text)

    def limit(self, default: int, largest: int) -> int:
        """More than `largest` is clamped without a word, as the exchange does; 0 is refused."""
        given = self.integer("limit")
        if given == 0:
            raise errors.invalid_data("limit")
        return default if given is None else min(given, largest)

    def symbol(self) -> str | None:
        text = self._text("symbol")
        if text is not None and (not _SYMBOL.fullmatch(text) or text != text.upper()):
            raise errors.illegal_characters("symbol", errors.SYMBOL)
        return text

    def symbols(self) -> list[str] | None:
        """The JSON list of `symbols`."""
        text = self._text("symbols")
        if text is None:
            return None
        if not _SYMBOLS.fullmatch(text) or text != text.upper():
            raise errors.illegal_characters("symbols", errors.SYMBOLS)
        names: list[str] = orjson.loads(text)
        if len(set(names)) != len(names):
            raise errors.repeated_symbol()
        return names

    def interval(self) -> Interval:
        try:
            return Interval(self.values["interval"])
        except ValueError:
            raise errors.invalid_interval() from None

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        text = self._text(name)
        if text is not None and text not in choices:
            raise errors.invalid_data(name)
        return text

    def status(self) -> str | None:
        """`symbolStatus`."""
        text = self._text("symbolStatus")
        if text is not None and text not in _STATUSES:
            raise errors.invalid_symbol_status()
        return text

    def zone_ms(self) -> int:
        """`timeZone` as an offset: hours, or hours and minutes, from -12:00 to +14:00."""
        text = self._text("timeZone")
        if text is None:
            return 0
        match = _ZONE.fullmatch(text)
        if match is None:
            raise errors.invalid_data("timeZone")
        minutes = int(match[2]) * 60 + int(match[3] or 0)
        minutes = -minutes if match[1] == "-" else minutes
        if not -12 * 60 <= minutes <= 14 * 60 or int(match[3] or 0) > 59:
            raise errors.invalid_data("timeZone")
        return minutes * 60_000

    def _text(self, name: str) -> str | None:
        text = self.values.get(name)
        if text == "":
            raise errors.empty(name)
        return text
