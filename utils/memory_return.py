"""Memory returned: what the process no longer needs goes back to the machine, freed buffers and read code alike."""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_MALLOPT = {"M_ARENA_MAX": (-8, 1), "M_MMAP_THRESHOLD": (-3, 128 * 1024), "M_TRIM_THRESHOLD": (-1, 256 * 1024)}
"""glibc's numbers for them (malloc.h), and what serves a long-lived process with short-lived large buffers."""
_JEMALLOC = (b"_RJEM_MALLOC_CONF", b"narenas:1,dirty_decay_ms:200,muzzy_decay_ms:0")
"""granian brings an allocator of its own, which asks the C library for this variable when it is loaded. By default it
has four arenas for each core and keeps what is freed for ten seconds: with answers of 200 KB that is five megabytes."""
_DONTNEED = 4
"""MADV_DONTNEED of Linux: of a file's pages that were never written to, only the place in this process is given up."""
_SMAPS = Path("/proc/self/smaps")


def hold_less() -> None:
    """Asks glibc, and the web server's allocator before it is loaded, to keep less of what is freed; elsewhere nothing
    happens.

    By default each thread gets an arena of its own and every large buffer that is freed raises the size from which
    buffers are returned to the machine at once: both leave a web server with memory that nothing uses. One arena has
    holes in one place alone, and Python's threads hardly ever ask for memory at the same moment.
    """
    mallopt, setenv = (_libc(name) if sys.platform == "linux" else None for name in ("mallopt", "setenv"))
    if setenv is not None:
        setenv(*_JEMALLOC, 0)  # 0: what a user has set stays
    if mallopt is not None:
        for name, value in _MALLOPT.values():
            mallopt(name, value)


def collect_later_objects() -> None:
    """Python looks for cycles from now on, and among later objects alone until `give_back`: those of before are the
    program itself."""
    gc.freeze()
    gc.enable()


def give_back() -> None:
    """Returns memory to the machine: collects cycles, asks the C library to let go of what is freed, and gives up
    the pages of program files that nothing has asked for since they were read.

    What lives then is taken to stay until the next time: Python looks for cycles among later objects alone. A look at
    all that an application of 140,000 objects is made of stops every thread for some fifty milliseconds, and would come
    whenever a quarter as many new ones have gathered.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.collect()
    tidy()


def tidy() -> None:
    """`give_back` without looking for cycles: what a process that serves may do now and then (some milliseconds)."""
    trim = _libc("malloc_trim")
    if trim is not None:
        trim(0)
    let_go_of_files()


def let_go_of_files() -> int:
    """Gives up this process's pages of library files: what is still needed comes back from the machine's file cache
    page by page, what only the start needed does not. How many mappings that were; 0 but on Linux.

    Loading ONNX Runtime alone touches 20 MB of its file, of which forecasts need a third. A mapping of which anything
    was written, relocated addresses included, is left alone: there this would undo the writing.
    """
    madvise = _libc("madvise") if sys.platform == "linux" else None
    if madvise is None:
        return 0
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    try:
        return sum(1 for start, end in _unwritten_files() if madvise(start, end - start, _DONTNEED) == 0)
    except (OSError, ValueError) as error:
        log.info("the pages of library files stay: %s", error)
        return 0


def _unwritten_files() -> Iterator[tuple[int, int]]:
    """Addresses of mappings of files that may not be written to here and of which nothing was."""
    place: tuple[int, int] | None = None
    for line in _SMAPS.read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            start, _, end = words[0].partition("-")
            is_file = len(words) > 5 and words[5].startswith("/") and "w" not in words[1]
            place = (int(start, 16), int(end, 16)) if is_file else None
        elif words[0] == "Anonymous:" and place is not None and words[1] == "0":
            yield place


def _libc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None)
