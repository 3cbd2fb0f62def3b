"""Profile: where time went, or memory, as stacks of names with a weight each; as a file and back."""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import orjson

from utils.errors import FileError

ProfileKind = Literal["process", "request", "memory"]
Stack = tuple[str, ...]
"""Names from the outermost call to the innermost: `symbol_page routes/symbol_page.py`."""

FORM = 1
MOST_STACKS = 20_000
DEEPEST = 120
OTHERS: Stack = ("(others)",)
_ROOT = Path(__file__).resolve().parent.parent
_GZIP_LEVEL = 6
_HEAD_BYTES = 1024
_TITLE = re.compile(rb'"title":("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, slots=True)
class Site:
    """Memory that was allocated at one line and is still held."""

    place: str
    size_bytes: int
    count: int


@dataclass(frozen=True, slots=True)
class Profile:
    """`stacks` weigh seconds, or bytes where `kind` is memory. `idle`: the share (0 … 1) of samples of waiting threads,
    which are not among the stacks."""

    kind: ProfileKind
    title: str
    at_ms: int
    seconds: float
    samples: int
    idle: float
    stacks: Mapping[Stack, float]
    sites: tuple[Site, ...] = field(default=())

    @property
    def total(self) -> float:
        return sum(self.stacks.values())


class StackSum:
    """Adds up stacks; past 20,000 different ones further ones are counted together."""

    def __init__(self) -> None:
        self.stacks: dict[Stack, float] = {}

    def add(self, stack: Stack, weight: float) -> None:
        stack = stack[:DEEPEST]
        if stack not in self.stacks and len(self.stacks) >= MOST_STACKS:
            stack = OTHERS
        self.stacks[stack] = self.stacks.get(stack, 0.0) + weight


def folded(profile: Profile) -> str:
    """One line per stack, `a;b;c weight`, as flame graph tools read it; weights in microseconds, or bytes."""
    scale = 1 if profile.kind == "memory" else 1_000_000
    lines = (f"{';'.join(stack)} {max(1, round(weight * scale))}" for stack, weight in profile.stacks.items())
    return "\n".join(lines) + "\n"


def hottest(profile: Profile, most: int) -> list[tuple[str, float, float]]:
    """(name, weight in it alone, weight in it and below), the largest by themselves first."""
    own: dict[str, float] = {}
    whole: dict[str, float] = {}
    for stack, weight in profile.stacks.items():
        own[stack[-1]] = own.get(stack[-1], 0.0) + weight
        for name in set(stack):
            whole[name] = whole.get(name, 0.0) + weight
    names = sorted(own, key=lambda name: -own[name])[:most]
    return [(name, own[name], whole[name]) for name in names]


def to_bytes(profile: Profile) -> bytes:
    """Strict JSON, compressed; each name once."""
    places: dict[str, int] = {}
    stacks = [
        [[places.setdefault(name, len(places)) for name in stack], weight] for stack, weight in profile.stacks.items()
    ]
    content: dict[str, Any] = {
        "form": FORM,
        "kind": profile.kind,
        "title": profile.title,
        "at_ms": profile.at_ms,
        "seconds": profile.seconds,
        "samples": profile.samples,
        "idle": profile.idle,
        "names": list(places),
        "stacks": stacks,
        "sites": [[site.place, site.size_bytes, site.count] for site in profile.sites],
    }
    return gzip.compress(orjson.dumps(content), _GZIP_LEVEL, mtime=0)


def title_in(content: bytes) -> str:
    """Of a file as `to_bytes` makes it, by its first few hundred bytes; empty where they are none of ours."""
    try:
        head = zlib.decompressobj(wbits=31).decompress(content, _HEAD_BYTES)
        found = _TITLE.search(head)
        return "" if found is None else str(orjson.loads(found[1]))
    except (zlib.error, ValueError):
        return ""


def from_bytes(content: bytes) -> Profile:
    """StoreError where that is no profile of ours."""
    try:
        read = orjson.loads(gzip.decompress(content))
        if read["form"] != FORM:
            raise FileError(f"the profile is of form {read['form']}, and this version reads {FORM}; record another")
        names = read["names"]
        return Profile(
            kind=read["kind"],
            title=read["title"],
            at_ms=read["at_ms"],
            seconds=read["seconds"],
            samples=read["samples"],
            idle=read["idle"],
            stacks={tuple(names[place] for place in stack): weight for stack, weight in read["stacks"]},
            sites=tuple(Site(*one) for one in read["sites"]),
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
        raise FileError("the profile's file is damaged; delete it and record another") from error


def frame_name(function: str, file: str) -> str:
    """`symbol_page routes/symbol_page.py`; a library's file from its package on, the interpreter's from `python` on."""
    return f"{function} {_short(file)}"


@lru_cache(maxsize=4096)  # a profile names the same few hundred files thousands of times
def _short(file: str) -> str:
    path = Path(file)
    if "site-packages" in path.parts:
        return "/".join(path.parts[path.parts.index("site-packages") + 1 :])
    if path.is_relative_to(_ROOT):
        return path.relative_to(_ROOT).as_posix()
    for base in (sys.base_prefix, sys.prefix):
        if path.is_relative_to(base):
            return "python/" + "/".join(path.parts[-2:]) if path.suffix else file
    return file if file.startswith("<") else path.name


def bounded(stacks: Iterable[tuple[Stack, float]]) -> dict[Stack, float]:
    """Added up, within the bounds."""
    made = StackSum()
    for stack, weight in stacks:
        made.add(stack, weight)
    return made.stacks
