"""Memory holders: who holds how much of this process's memory, the rest being the interpreter and the libraries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Held:
    """Who, what it is in words, about how many bytes; `entries` is None where counting says nothing."""

    name: str
    what: str
    size_bytes: int
    entries: int | None = None


@dataclass(frozen=True, slots=True)
class MemoryHolders:
    """The process's resident memory and its holders, largest first; their bytes add up to `rss_bytes`.

    Caches tell what they count themselves; "library files" is what of program files is resident (the machine can take
    it back at any time), "interpreter" whatever else there is: Python's objects, code, buffers of libraries, freed
    memory not yet returned. `max_rss_bytes` is MAX_RSS_MB, 0 for no limit. As source `memory_holders` of the monitor:
    `{rss_bytes, max_rss_bytes, holders: [{name, what, size_bytes, entries}, …]}`.
    """

    rss_bytes: int
    max_rss_bytes: int
    holders: tuple[Held, ...]


def memory_holders(known: Sequence[Held], *, max_rss_bytes: int = 0) -> MemoryHolders:
    """What the parts say they hold, with what nobody says."""
    rss_bytes, files_bytes = resident_bytes()
    files = Held("library files", "code and data of programs and libraries that was used lately", files_bytes)
    rest = max(0, rss_bytes - files_bytes - sum(held.size_bytes for held in known))
    interpreter = Held("interpreter", "Python's objects and code, buffers of libraries", rest)
    largest_first = sorted((*known, files, interpreter), key=lambda held: held.size_bytes, reverse=True)
    return MemoryHolders(rss_bytes, max_rss_bytes, tuple(largest_first))


def resident_bytes() -> tuple[int, int]:
    """(all that is resident, that of files): the second is 0 where the system does not tell it apart."""
    try:
        fields = dict(line.split(":", 1) for line in _STATUS.read_text("utf-8").splitlines() if ":" in line)
        whole, files = (1024 * int(fields[name].split()[0]) for name in ("VmRSS", "RssFile"))
    except (OSError, KeyError, ValueError):
        return int(psutil.Process().memory_info().rss), 0
    return whole, files
