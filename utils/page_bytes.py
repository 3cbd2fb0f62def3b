"""Page bytes: one version of a page, packed, and each encoding of it that was asked for with its headers."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import NamedTuple

import xxhash
from werkzeug.http import parse_etags

from utils.content_encoding import IDENTITY, MIN_SIZE_BYTES, ZSTD, compress, decompress
from utils.dictionaries import DCZ, KEPT_S, delta, name_of

HeaderList = list[tuple[str, str]]

_OVERHEAD_BYTES = 600
"""What a stored page costs beside its bytes: key, headers, objects."""


_RENEWED_FRACTION = 1 / 8
"""What differs from a dictionary may grow to this part of the page's compressed bytes before the reader is told to keep
the page itself as the next: most pages are then never kept by anybody."""


class Form(NamedTuple):
    """How a page is told to its reader, beside its bytes. `match`: the addresses it may be a dictionary for, if any."""

    mimetype: str
    max_age: int
    vary: str
    headers: tuple[tuple[str, str], ...]
    match: str = ""


class Variant:
    """The page in one encoding, ready to be sent: headers of a 200 (its length among them) and of a 304.

    `offered` names it where its reader is told to keep it as a dictionary.
    """

    __slots__ = ("body", "etag", "headers", "length", "offered", "unmodified_headers")

    def __init__(self, body: bytes, etag: str, content_type: str, encoding: str, more: HeaderList) -> None:
        self.body = body
        self.etag = etag
        self.offered = ""
        self.length = len(body)
        self.unmodified_headers: HeaderList = [("ETag", etag), *more]
        self.headers: HeaderList = [("Content-Type", content_type), *self.unmodified_headers]
        if encoding != IDENTITY:
            self.headers.append(("Content-Encoding", encoding))
        self.headers.append(("Content-Length", str(self.length)))

    def matches(self, if_none_match: str) -> bool:
        """Weak comparison, as RFC 9110 §13.1.2 asks for If-None-Match."""
        return if_none_match == self.etag or parse_etags(if_none_match).contains_weak(
            self.etag.removeprefix("W/").strip('"')
        )


class Page:
    """One version of one page, in the encodings asked for so far; itself kept packed, in an eighth of the bytes.

    It is packed as its first reader wants it, so that nobody waits for a compression that nobody asked for.
    """

    __slots__ = (
        *("current_s", "digest", "length", "lock", "made_at_s", "packed", "packing"),
        *("size_bytes", "variants", "version"),
    )

    def __init__(self, version: str, body: bytes, encoding: str = IDENTITY, made_at_s: float = 0.0) -> None:
        self.version = version
        self.made_at_s = made_at_s
        self.current_s = float("-inf")
        """When this was last known to be the newest version, by its keeper's timer."""
        self.packing = encoding if encoding != IDENTITY else ZSTD
        self.packed = compress(body, self.packing) if len(body) >= MIN_SIZE_BYTES else body
        self.length = len(body)
        self.digest = xxhash.xxh3_128_hexdigest(body)
        self.lock = threading.Lock()
        self.variants: dict[tuple[Hashable, ...], Variant] = {}
        self.size_bytes = len(self.packed) + _OVERHEAD_BYTES

    def encoded(self, encoding: str) -> bytes:
        if self.length < MIN_SIZE_BYTES or encoding == self.packing:
            return self.packed
        return compress(decompress(self.packed, self.packing, self.length), encoding)

    def plain(self) -> bytes:
        return decompress(self.packed, self.packing, self.length) if self.length >= MIN_SIZE_BYTES else self.packed

    def make_variant(self, encoding: str, form: Form) -> Variant:
        more = [("Vary", form.vary), *form.headers, ("Cache-Control", _cache_control(form))]
        return Variant(self.encoded(encoding), f'"{self.digest}-{encoding}"', _content_type(form), encoding, more)

    def make_delta(self, held: tuple[str, bytes] | None, encoding: str, form: Form, *, keeps: bool) -> Variant:
        """For a reader of dictionaries: what differs from the one it holds (name, body), else the page in `encoding`.

        The reader that `keeps` is offered the page as its next dictionary where it is worth it. The tag is a weak one:
        the bytes depend on the dictionary, what they say does not.
        """
        plain = self.plain()
        body = delta(plain, *held) if held else b""
        if body and len(body) < len(self.packed):
            encoding = DCZ
            offers = keeps and len(body) > _RENEWED_FRACTION * len(self.packed)
        else:
            body, offers = self.encoded(encoding), keeps
        control = (
            f"private, max-age={form.max_age}, stale-while-revalidate={KEPT_S}" if offers else _cache_control(form)
        )
        more = [("Vary", f"{form.vary}, Available-Dictionary"), *form.headers, ("Cache-Control", control)]
        if offers:
            more.append(("Use-As-Dictionary", f'match="{form.match}"'))
        variant = Variant(body, f'W/"{self.digest}"', _content_type(form), encoding, more)
        variant.offered = name_of(plain) if offers else ""
        return variant


def _content_type(form: Form) -> str:
    return f"{form.mimetype}; charset=utf-8" if form.mimetype.startswith("text/") else form.mimetype


def _cache_control(form: Form) -> str:
    return f"private, max-age={form.max_age}" if form.max_age > 0 else "private, no-cache"
