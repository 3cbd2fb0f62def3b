"""Memory snapshot: what was allocated while tracemalloc watched and is still held, by the lines that asked for it."""

from __future__ import annotations

import threading
import tracemalloc

from utils.profile import Profile, Site, Stack, bounded, frame_name

FRAMES = 16
MOST_SITES = 40
MOST_TRACES = 5_000


def snapshot_memory(seconds: float, *, at_ms: int, stop: threading.Event) -> Profile:
    """Watches for that long (or until `stop`), then tells; the program is a few times slower meanwhile, not after."""
    tracemalloc.start(FRAMES)
    try:
        stop.wait(seconds)
        snapshot = tracemalloc.take_snapshot()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    snapshot = snapshot.filter_traces((tracemalloc.Filter(False, tracemalloc.__file__, all_frames=False),))
    lines = snapshot.statistics("lineno")[:MOST_SITES]
    sites = tuple(Site(_place(one.traceback[0]), one.size, one.count) for one in lines)
    traces = snapshot.statistics("traceback")[:MOST_TRACES]
    stacks = bounded((_stack(one.traceback), float(one.size)) for one in traces)
    title = f"memory allocated within {seconds:g} s and still held (peak {peak / 1e6:.1f} MB, held {held / 1e6:.1f} MB)"
    return Profile("memory", title, at_ms, seconds, sum(one.count for one in lines), 0.0, stacks, sites)


def _stack(traceback: tracemalloc.Traceback) -> Stack:
    return tuple(_place(frame) for frame in traceback)


def _place(frame: tracemalloc.Frame) -> str:
    return frame_name(f"line {frame.lineno}", frame.filename)
