"""Addresses: a Flask whose `url_for` remembers what it answered: a page names thirty places, each time the same."""

from __future__ import annotations

from typing import Any

from flask import Flask, has_request_context, request

_MOST = 5_000
"""Markets times what their pages lead to; then it begins anew. About a megabyte."""


class App(Flask):
    """An address inside of the application follows from the endpoint, its values, and where the application is mounted.

    Building one takes 50 µs, and a page needs thirty: a fifth of its time. Whatever else is asked for (addresses with a
    host, or outside of a request) is built as ever.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._remembered: dict[tuple[object, ...], str] = {}
        super().__init__(*args, **kwargs)

    def url_for(self, /, endpoint: str, **values: Any) -> str:
        key = _key(endpoint, values)
        if key is None:
            return super().url_for(endpoint, **values)
        address = self._remembered.get(key)
        if address is None:
            address = super().url_for(endpoint, **values)
            if len(self._remembered) >= _MOST:
                self._remembered.clear()
            self._remembered[key] = address
        return address


def _key(endpoint: str, values: dict[str, Any]) -> tuple[object, ...] | None:
    """None where the answer may depend on more than this."""
    if endpoint[0] == "." or not has_request_context():
        return None
    parts: list[object] = [request.root_path, endpoint]
    for name, value in values.items():
        if name[0] == "_":
            if value is not None:
                return None
        elif value is None or isinstance(value, str) or value.__class__ is int:
            parts += (name, value)
        elif value.__class__ is list and all(isinstance(one, str) for one in value):
            parts += (name, tuple(value))
        else:  # True and 1 are one key, but two addresses
            return None
    return tuple(parts)
