"""Performance of the memory: who holds what of it, and what gave way when it was short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from routes import wording
from routes.performance_parts import Fact, Panel, count, heading, percent

_MOST_HOLDERS = 20
_WORTH_A_ROW = 0.01


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds how much memory, and what that is; `share` (0 … 100) of what the process has."""

    name: str
    what: str
    size: str
    share: float
    kept: str


def holders(source: Any, rss_bytes: float | None) -> tuple[Holder, ...]:
    """As utils.memory_holders tells them, largest first; what nobody claims of the RSS last."""
    told = source if isinstance(source, Mapping) else {}
    found = list(told.get("holders") or ())[:_MOST_HOLDERS]
    if not found:
        return ()
    claimed = sum(one["size_bytes"] for one in found)
    whole = max(float(told.get("rss_bytes") or rss_bytes or 0), claimed, 1.0)
    rows = [_holder(one, whole) for one in found]
    if whole - claimed > _WORTH_A_ROW * whole:
        rows.append(
            _holder({"name": "nobody", "what": "claimed by none of them", "size_bytes": whole - claimed}, whole)
        )
    return tuple(rows)


def guard_panel(guard: Mapping[str, Any]) -> tuple[Panel, ...]:
    """Its limits, and what each step of the last trimming gave back; none where memory is not watched."""
    if "max_percent" not in guard:
        return ()
    limit = guard["max_rss_bytes"]
    reports = guard["last_reports"]
    facts = [
        Fact("Trims when the machine is above", percent(guard["max_percent"])),
        Fact("Or this process is above", _limit(limit)),
        Fact("The machine is at", percent(guard["used_percent"], 1), guard["used_percent"]),
        Fact("This process is at", wording.size(guard["rss_bytes"]), _share(guard["rss_bytes"], limit)),
        Fact("Times trimmed", count(guard["rounds"])),
        Fact("Pause between two", wording.duration(guard["cool_down_s"])),
    ]
    facts += [Fact(f"Last time: {one['name']}", _gave_back(one)) for one in reports]
    return (
        Panel(
            "Memory guard",
            tuple(facts),
            glance=f"machine {percent(guard['used_percent'])} of {percent(guard['max_percent'])}",
        ),
    )


def _limit(max_rss_bytes: float) -> str:
    """As the setting is written beside as the page writes sizes."""
    if not max_rss_bytes:
        return "no limit of its own"
    return f"{wording.size(max_rss_bytes)} (MAX_RSS_MB {max_rss_bytes / 1e6:,.0f})"


def _share(rss_bytes: float | None, limit: float) -> float | None:
    return None if not limit or rss_bytes is None else rss_bytes / limit * 100


def _gave_back(report: Mapping[str, Any]) -> str:
    """The process before and after; what was dropped is counted by each step in a unit of its own."""
    before, after = report["rss_before_bytes"], report["rss_after_bytes"]
    return f"{wording.size(before)} → {wording.size(after)}" if report["dropped"] else "nothing to drop"


def _holder(one: Mapping[str, Any], whole_bytes: float) -> Holder:
    size, entries = float(one["size_bytes"]), one.get("entries")
    kept = "" if entries is None else count(entries)
    return Holder(heading(one["name"]), str(one.get("what", "")), wording.size(size), size / whole_bytes * 100, kept)
