"""Kinds: how a setting is read from text, and in what words the fitting values are told."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Kind:
    """How a setting is read from text: `parse` raises ValueError where the text does not fit `fits`."""

    fits: str
    parse: Callable[[str], Any]


def switch() -> Kind:
    """On or off, in the words that people use for it."""
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}

    def parse(text: str) -> bool:
        if text.lower() not in words:
            raise ValueError
        return words[text.lower()]

    return Kind("True or False", parse)


def whole(least: int, most: int) -> Kind:
    """Both ends fit."""

    def parse(text: str) -> int:
        if not least <= (number := int(text)) <= most:
            raise ValueError
        return number

    return Kind(f"a whole number from {least} to {most}", parse)


def number(least: float, most: float) -> Kind:
    """Both ends fit; NaN does not."""

    def parse(text: str) -> float:
        if not least <= (value := float(text)) <= most:
            raise ValueError
        return value

    return Kind(f"a number from {least:g} to {most:g}", parse)


def choice(*options: str) -> Kind:
    """One of these, spelled in small or capital letters; read as it is spelled here."""
    folded = {option.lower(): option for option in options}

    def parse(text: str) -> str:
        if text.lower() not in folded:
            raise ValueError
        return folded[text.lower()]

    return Kind("one of " + ", ".join(options), parse)


def names(fits: str, allowed: Callable[[str], bool], *, most: int, may_be_empty: bool = False) -> Kind:
    """Up to `most` texts separated by commas, each once, all of them `allowed`."""

    def parse(text: str) -> tuple[str, ...]:
        items = tuple(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))
        fits_count = (1 - may_be_empty) <= len(items) <= most
        if not fits_count or not all(map(allowed, items)):
            raise ValueError
        return items

    return Kind(fits, parse)


def words(fits: str = "any text, or nothing") -> Kind:
    return Kind(fits, str)


def place() -> Kind:
    def parse(text: str) -> Path:
        if not text or "\0" in text:
            raise ValueError
        return Path(text).expanduser()

    return Kind("a path", parse)


def place_or_nothing() -> Kind:
    return Kind("a path, or nothing", lambda text: Path(text).expanduser() if text else None)


def loopback_or_secure(plain: str, secure: str) -> Kind:
    """A URL that may be unencrypted only where it never leaves this machine."""

    def parse(text: str) -> str:
        if not text:
            return ""
        url = urlsplit(text)
        local = url.scheme == plain and url.hostname in _LOOPBACK
        if not url.hostname or url.username or not (local or url.scheme == secure):
            raise ValueError
        return text.rstrip("/")

    return Kind(f"nothing, {secure}://host[/path], or {plain}:// to 127.0.0.1 or localhost", parse)


def asset_base() -> Kind:
    """Where files lie that are served from elsewhere; it becomes a part of a header, hence its few characters."""
    secure = loopback_or_secure("http", "https")

    def parse(text: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9.:/_~\[\]-]*", text):
            raise ValueError
        checked: str = secure.parse(text)
        return checked

    return Kind(secure.fits + " of letters, digits and .-_~", parse)


def database() -> Kind:
    def parse(text: str) -> str:
        if text and not text.startswith(("sqlite:///", "postgresql://", "postgresql+")):
            raise ValueError
        return text

    return Kind("nothing, sqlite:///path or postgresql://user:password@host/name", parse)


def redis_address() -> Kind:
    def parse(text: str) -> str:
        if text and (urlsplit(text).scheme not in ("redis", "rediss", "unix") or not text.partition("://")[2]):
            raise ValueError
        return text

    return Kind("nothing, redis://[:password@]host:6379/0, rediss://… or unix:///path", parse)


def dask_address() -> Kind:
    def parse(text: str) -> str:
        parts = urlsplit(text)
        if text and (parts.scheme not in ("tcp", "tls") or not parts.hostname or not parts.port):
            raise ValueError
        return text

    return Kind("nothing, tcp://host:8786 or tls://host:8786", parse)


def date_or_nothing() -> Kind:
    def parse(text: str) -> str:
        if text:
            date.fromisoformat(text)
        return text

    return Kind("nothing, or a date such as 2024-05-01", parse)


def at_least(characters: int) -> Kind:
    """Nothing, or a text too long to be guessed."""

    def parse(text: str) -> str:
        if text and len(text) < characters:
            raise ValueError
        return text

    return Kind(f"nothing, or at least {characters} characters", parse)
