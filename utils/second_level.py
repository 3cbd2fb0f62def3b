"""Second level: what the data cache asks of a store that several processes share, and what it offers that store."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Found:
    """A value, for how many seconds it is fresh, and whether it was loaded here or had been there already."""

    value: Any
    fresh_s: float
    loaded: bool


class FirstLevel(Protocol):
    """The memory of one process: what other processes' words change in it. Nothing here is told on."""

    def outdate(self, key: Hashable) -> None:
        """There is a newer value elsewhere; the old one may only stand in for a load that fails."""
        ...

    def outdate_region(self, region: Hashable) -> None: ...
    def drop(self, key: Hashable) -> None: ...
    def drop_region(self, region: Hashable = None) -> None: ...


class SecondLevel(Protocol):
    """Never raises for want of its server, and never waits long for it: without it every process loads for itself."""

    def attach(self, first_level: FirstLevel) -> None: ...

    def shares(self, key: Hashable) -> bool:
        """Whether values of this key may leave the process at all."""
        ...

    def get(self, key: Hashable) -> Found | None: ...

    def get_or_load(self, key: Hashable, load: Callable[[], Any], fresh_s: Callable[[Any], float]) -> Found:
        """The shared value, or `load()` by one process while the others wait a bounded while. Raises what it raises."""
        ...

    def set(self, key: Hashable, value: object, fresh_s: float) -> None: ...
    def delete(self, key: Hashable) -> None: ...
    def clear(self, region: Hashable = None) -> None: ...

    def local_s(self, fresh_s: float) -> float:
        """How long a process may trust its own copy: shorter while it would not hear of a newer one."""
        ...
