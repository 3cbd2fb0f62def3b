"""Page bytes: one version of a page, packed, and each encoding of it that was asked for with its headers."""

from __future__ import annotations

import threading
from collections.abc import Hashable

import xxhash
from werkzeug.http import parse_etags

from utils.content_encoding import IDENTITY, MIN_SIZE_BYTES, ZSTD, compress, decompress

HeaderList = list[tuple[str, str]]

_OVERHEAD_BYTES = 600
"""What a stored page costs beside its bytes: key, headers, objects."""


class Variant:
    """The page in one encoding, ready to be sent: headers of a 200 (its length among them) and of a 304."""

    __slots__ = ("body", "etag", "headers", "length", "unmodified_headers")

    def __init__(self, body: bytes, etag: str, content_type: str, encoding: str, more: HeaderList) -> None:
        self.body = body
        self.etag = etag
        self.length = len(body)
        self.unmodified_headers: HeaderList = [("ETag", etag), *more]
        self.headers: HeaderList = [("Content-Type", content_type), *self.unmodified_headers]
        if encoding != IDENTITY:
            self.headers.append(("Content-Encoding", encoding))
        self.headers.append(("Content-Length", str(self.length)))

    def matches(self, if_none_match: str) -> bool:
        """Weak comparison, as RFC 9110 §13.1.2 asks for If-None-Match."""
        return if_none_match == self.etag or parse_etags(if_none_match).contains_weak(self.etag.strip('"'))


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

    def make_variant(self, encoding: str, mimetype: str, max_age: int, more: HeaderList) -> Variant:
        return Variant(
            self.encoded(encoding),
            f'"{self.digest}-{encoding}"',
            f"{mimetype}; charset=utf-8" if mimetype.startswith("text/") else mimetype,
            encoding,
            [*more, ("Cache-Control", f"private, max-age={max_age}" if max_age > 0 else "private, no-cache")],
        )
