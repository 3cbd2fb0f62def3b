"""Cache codecs: keys and values as bytes for a shared cache, each type by its own rule, none running what it reads."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import isfinite
from typing import Any

import orjson

_MAX_KEY_CHARS = 400
_MAX_INTEGER = 2**53
"""Beyond it a JSON number is not the same number everywhere."""
_JSON_TAG = b"json"
_BYTES_TAG = b"bytes"


@dataclass(frozen=True, slots=True)
class Codec:
    """How values of exactly `kind` are written and read. `tag` names the rule and its version: change one, change both.

    `decode` raises ValueError for bytes it did not write.
    """

    tag: bytes
    kind: type
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


class Codecs:
    """Bytes, plain JSON values, and the types of the given codecs. Everything else stays in its process.

    Plain JSON values are those that come back equal and of the same types: no tuples, no NaN, no subclasses.
    """

    def __init__(self, *codecs: Codec) -> None:
        every = (Codec(_BYTES_TAG, bytes, bytes, bytes), *codecs)
        self._by_kind = {codec.kind: codec for codec in every}
        self._by_tag = {codec.tag: codec for codec in every}

    def encode(self, value: object) -> bytes | None:
        """The tag, a line feed and the content; None for a value that cannot be shared."""
        codec = self._by_kind.get(type(value))
        if codec is not None:
            return codec.tag + b"\n" + codec.encode(value)
        return _JSON_TAG + b"\n" + orjson.dumps(value) if _is_plain(value) else None

    def decode(self, content: bytes) -> Any:
        """The value. ValueError where the content is not what `encode` writes."""
        tag, _, body = content.partition(b"\n")
        if tag == _JSON_TAG:
            return orjson.loads(body)
        codec = self._by_tag.get(tag)
        if codec is None:
            raise ValueError(f"no codec is called {tag[:20]!r}; known are {sorted(self._by_tag)}")
        return codec.decode(body)


def key_text(key: Hashable) -> str | None:
    """The key as text, the same in every process; None for a key that is not made of texts, integers and None."""
    parts = list(key) if isinstance(key, tuple) else key
    if not (all(map(_is_key_part, parts)) if isinstance(parts, list) else _is_key_part(parts)):
        return None
    text = orjson.dumps(parts, option=orjson.OPT_PASSTHROUGH_SUBCLASS, default=str).decode()
    return text if len(text) <= _MAX_KEY_CHARS else None


def key_of(text: str) -> Hashable:
    """The key that `key_text` wrote: equal to the first one and with the same hash. ValueError for other texts."""
    parts = orjson.loads(text)
    return tuple(parts) if isinstance(parts, list) else parts


def _is_key_part(part: object) -> bool:
    return part is None or isinstance(part, str) or (type(part) is int and abs(part) < _MAX_INTEGER)


def _is_plain(value: object) -> bool:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return True
    if kind is int or kind is float:
        return _is_plain_number(value)
    if isinstance(value, dict) and kind is dict:
        return all(type(name) is str and _is_plain(one) for name, one in value.items())
    return isinstance(value, list) and kind is list and all(map(_is_plain, value))


def _is_plain_number(value: Any) -> bool:
    return isfinite(value) if type(value) is float else abs(value) < _MAX_INTEGER
