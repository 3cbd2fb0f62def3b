"""One look: within a page the folder of models is looked at once, however many of its parts ask for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

T = TypeVar("T")

_SEEN: ContextVar[dict[Hashable, Any] | None] = ContextVar("what was seen of the models", default=None)


@contextmanager
def one_look() -> Iterator[None]:
    """Inside (or in a function so decorated), in this context alone, what was seen of the models stays as first seen.

    A look asks the file system for each file of each model, and each question may make a thread wait for its turn.
    """
    if _SEEN.get() is not None:
        yield
        return
    token = _SEEN.set({})
    try:
        yield
    finally:
        _SEEN.reset(token)


def seen(what: Hashable, look: Callable[[], T]) -> T:
    """What was seen before within this look; else what `look` sees now."""
    known = _SEEN.get()
    if known is None:
        return look()
    if what not in known:
        known[what] = look()
    return cast("T", known[what])
