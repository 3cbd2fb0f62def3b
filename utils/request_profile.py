"""Request profile: one call in this thread, sampled by pyinstrument, which is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from utils.profile import Profile, Stack, bounded, frame_name

T = TypeVar("T")

INTERVAL_S = 0.0002
"""A page is made in milliseconds: fifty samples of ten of them."""


def profile_call(call: Callable[[], T], *, title: str, at_ms: int) -> tuple[T, Profile]:
    """What the call answers, and where its time went. What it raises is raised."""
    from pyinstrument import Profiler

    profiler = Profiler(interval=INTERVAL_S, async_mode="disabled")
    profiler.start()
    try:
        answer = call()
    finally:
        session: Any = profiler.stop()
    stacks = bounded(
        (stack, weight) for frames, weight in session.frame_records if (stack := _stack(frames)) is not None
    )
    samples = len(session.frame_records)
    return answer, Profile("request", title, at_ms, float(session.duration), samples, 0.0, stacks)


def _stack(frames: Sequence[str]) -> Stack | None:
    """The names inside our own call; None for what the profiler did for itself.

    pyinstrument's identifiers are `function NUL file NUL line`, and attributes.
    """
    names = [_name(frame) for frame in frames]
    ours = next((place for place, name in enumerate(names) if name.startswith("profile_call ")), -1)
    inside = tuple(names[ours + 1 :])
    return None if not inside or " pyinstrument/" in inside[0] else inside


def _name(identifier: str) -> str:
    function, _, rest = identifier.partition("\0")
    file = rest.partition("\0")[0]
    return f"{function} {file}" if file.startswith("<") else frame_name(function, file)
