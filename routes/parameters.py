"""Parameters: what may be asked of an address of the JSON interface, declared beside it; what else is asked is told.

Pages take whatever an address holds: links grow `utm_source` and the like on their way, and a page is no use refused. A
program that misspells `limit` would be given 500 rows without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import request

from utils.errors import InvalidInput

P = ParamSpec("P")
R = TypeVar("R")

EVERYWHERE = frozenset({"profile"})
"""Understood of every address, by the operator alone (routes/profiling.py)."""
_DECLARED = "parameters"
_LONGEST_TOLD = 40


def takes(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declares which parameters a view knows: below its route. InvalidInput for another, and for one given twice."""

    def declare(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def asked(*args: P.args, **kwargs: P.kwargs) -> R:
            if request.query_string:
                _check(names)
            return view(*args, **kwargs)

        setattr(asked, _DECLARED, names)
        return asked

    return declare


def declared(view: Callable[..., object]) -> tuple[str, ...] | None:
    """The parameters that a view takes; None where nobody declared any."""
    found: tuple[str, ...] | None = getattr(view, _DECLARED, None)
    return found


def _check(names: tuple[str, ...]) -> None:
    for name, values in request.args.lists():
        if name not in names and name not in EVERYWHERE:
            fits = f"use {', '.join(names)}" if names else "it takes none"
            raise InvalidInput(f"parameter {name[:_LONGEST_TOLD]!r} is unknown here; {fits}")
        if len(values) > 1:
            raise InvalidInput(f"{name} is given {len(values)} times; give it once")
