"""Reader: what a request says of the answers it can take: encodings, the page it has, the dictionary it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from utils.content_encoding import accepts
from utils.dictionaries import DCZ

_CHROMIUM = re.compile(r'"Chromium";v="(\d{1,4})"')
_FIRST_TO_KEEP = 130
"""The first Chromium whose users all have dictionaries."""
_OURS = frozenset({"same-origin", "none"})
_LONGEST_NAME = 64
"""Of a SHA-256 as the header field writes it: 46 characters."""
_LONGEST_HINT = 300


class Reader(NamedTuple):
    """`dictionary` names an earlier answer that it holds, empty for none; `keeps`: it may be told to keep this one.

    `if_none_match` is the tag of what it has, as the header field says it.
    """

    accept_encoding: str = ""
    if_none_match: str | None = None
    dictionary: str = ""
    keeps: bool = False


def reader_of(environ: Mapping[str, Any]) -> Reader:
    """By the header fields in a WSGI environment."""
    accept, known = environ.get("HTTP_ACCEPT_ENCODING", ""), environ.get("HTTP_IF_NONE_MATCH")
    dictionary, hint = environ.get("HTTP_AVAILABLE_DICTIONARY", ""), environ.get("HTTP_SEC_CH_UA", "")
    if not (dictionary or hint) or environ.get("HTTP_SEC_FETCH_SITE") not in _OURS:
        # what another site made a browser ask for is never told as a difference: its length would be a clue
        return Reader(accept, known)
    if len(dictionary) > _LONGEST_NAME or not accepts(accept, DCZ):
        dictionary = ""
    return Reader(accept, known, dictionary, _keeps(hint) and _asks_again(environ))


def _keeps(hint: str) -> bool:
    """By `Sec-CH-UA`, for a browser tells of dictionaries only when it has one."""
    return len(hint) <= _LONGEST_HINT and _is_chromium(hint)


@lru_cache(maxsize=64)
def _is_chromium(hint: str) -> bool:
    found = _CHROMIUM.search(hint)
    return found is not None and int(found[1]) >= _FIRST_TO_KEEP


def _asks_again(environ: Mapping[str, Any]) -> bool:
    """Whether this kind of request is never answered from a stale copy: Chromium opens no page from one, and a script
    that says so (`cache: "no-cache"`) is given none."""
    return environ.get("HTTP_SEC_FETCH_DEST") == "document" or "HTTP_CACHE_CONTROL" in environ
