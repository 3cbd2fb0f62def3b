"""Page variants: a stored page as this reader accepts it: in an encoding, or as what differs from an earlier answer."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from utils.content_encoding import IDENTITY, MIN_SIZE_BYTES, choose_encoding
from utils.dictionaries import Dictionaries
from utils.page_bytes import Form, Page, Variant
from utils.reader import Reader

Key = tuple[Hashable, ...]

_LARGE_BYTES = 128 * 1024
"""Larger pages are unpacked anew for a reader who wants them plain: 0.2 ms, where keeping them would cost megabytes."""
_MAX_VARIANTS = 64
"""Of one page, kept for the next reader who holds the same dictionary; others are made anew, in a third of a
millisecond."""


class PageVariants:
    """Made when first asked for, and kept with the page. `grown(key, page, bytes)` is told by how much it grew."""

    def __init__(self, dictionaries: Dictionaries | None, *, grown: Callable[[Key, Page, int], None]) -> None:
        self._dictionaries = dictionaries
        self._grown = grown

    def of(self, key: Key, page: Page, reader: Reader, form: Form) -> Variant:
        if (reader.dictionary or reader.keeps) and form.match and self._dictionaries is not None:
            variant = self._delta(key, page, reader, form, self._dictionaries)
            if variant is not None:
                return variant
        encoding = choose_encoding(reader.accept_encoding) if page.length >= MIN_SIZE_BYTES else IDENTITY
        name = (encoding, form)
        variant = page.variants.get(name)
        if variant is not None:
            return variant
        if encoding == IDENTITY and page.length > _LARGE_BYTES:
            return page.make_variant(encoding, form)
        with page.lock:
            variant = page.variants.get(name)
            if variant is None:
                variant = page.variants[name] = page.make_variant(encoding, form)
                self._grown(key, page, 0 if variant.body is page.packed else variant.length)
        return variant

    def _delta(self, key: Key, page: Page, reader: Reader, form: Form, dictionaries: Dictionaries) -> Variant | None:
        """For a reader of dictionaries; None where it is to have what everybody has."""
        if not MIN_SIZE_BYTES <= page.length <= dictionaries.largest_bytes:
            return None
        found = dictionaries.find(reader.dictionary, form.mimetype)
        if found is None and not reader.keeps:
            return None
        encoding = choose_encoding(reader.accept_encoding)
        name = (encoding if found is None else reader.dictionary, form, reader.keeps)
        variant = page.variants.get(name)
        if variant is None:
            held = None if found is None else (reader.dictionary, found)
            with page.lock:
                variant = page.variants.get(name)
                if variant is None:
                    variant = page.make_delta(held, encoding, form, keeps=reader.keeps)
                    if len(page.variants) < _MAX_VARIANTS:
                        page.variants[name] = variant
                        self._grown(key, page, 0 if variant.body is page.packed else variant.length)
        if variant.offered and variant.offered not in dictionaries:
            dictionaries.keep(variant.offered, form.mimetype, page.plain())
        return variant
