"""Redaction: secrets taken out of text before it is written anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "[redacted]"
_SHORTEST_SECRET = 6
"""Shorter words would be found inside innocent ones; a password that short is still masked where it is named."""

_NAMED = re.compile(
    r"""(?ix)
    (?P<name> (?: api[_-]?(?:key|secret) | x-mbx-apikey | signature | secret(?:[_-]?key)? | password | passwd
                | authorization | cookie | session | listen[_-]?key | token ) )
    (?P<between> ["'\\]* \s* [=:] \s* (?:bearer\s+|basic\s+)? ["'\\]* )
    (?P<value> (?<=") [^"\\]+ (?=["\\]) | (?<=') [^'\\]+ (?=['\\]) | [^\s"'&,;}\])\\]+ )
    """
)


_IN_NAMES = ("key", "secret", "signature", "passw", "authorization", "cookie", "session", "token")
"""Each name has one of these in it. Looked for first: hardly a text has any, which takes a tenth of the time to see."""


class Redaction:
    """Masks the given secrets wherever they stand (also URL- or JSON-quoted), and any value that is named as one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
        longest_first = sorted(spellings, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(MASK, text)
        folded = text.casefold()
        if not any(part in folded for part in _IN_NAMES):
            return text
        return _NAMED.sub(rf"\g<name>\g<between>{MASK}", text)


def _spellings(secret: str) -> set[str]:
    if len(secret) < _SHORTEST_SECRET:
        return set()
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
