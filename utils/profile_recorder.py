"""ProfileRecorder: one recording at a time, of the process or of its memory, in a thread that ends with it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from utils.clock import Clock
from utils.errors import DashboardError, InvalidInput
from utils.memory_snapshot import snapshot_memory
from utils.profile import Profile
from utils.profile_store import ProfileStore
from utils.request_profile import profile_call
from utils.stack_sampler import sample_process

log = logging.getLogger(__name__)

T = TypeVar("T")
Lasting = Literal["process", "memory"]

SHORTEST_S, LONGEST_S = 1.0, 30.0
_RECORD = {"process": sample_process, "memory": snapshot_memory}


@dataclass(frozen=True, slots=True)
class Recording:
    """What is being recorded, from when until when (UTC ms)."""

    kind: Lasting
    at_ms: int
    until_ms: int


class ProfileRecorder:
    """Safe for threads. `problem` is what became of the last recording, where it failed.

    `who` names this process in the titles, where several record into the same folder.
    """

    def __init__(self, store: ProfileStore, clock: Clock, *, who: str = "") -> None:
        self.store = store
        self.problem = ""
        self.clock = clock
        self._who = who
        self._busy = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._now: Recording | None = None

    @property
    def now(self) -> Recording | None:
        """The recording that goes on; None while there is none."""
        return self._now

    def start(self) -> None:
        """Nothing: a thread is begun when something is to be recorded."""

    def record(self, kind: Lasting, seconds: float) -> Recording:
        """Begins a recording of 1 to 30 s. InvalidInput for another length, or while another goes on."""
        if not SHORTEST_S <= seconds <= LONGEST_S:
            raise InvalidInput(f"seconds {seconds:g} does not fit; a recording lasts {SHORTEST_S:g} to {LONGEST_S:g} s")
        self._take()
        at_ms = self.clock.now_ms()
        self._now = recording = Recording(kind, at_ms, at_ms + round(seconds * 1000))
        self._stop.clear()
        thread = threading.Thread(target=self._run, args=(kind, seconds, at_ms), name="profile-recorder", daemon=True)
        self._thread = thread
        thread.start()
        return recording

    def record_call(self, call: Callable[[], T], title: str) -> tuple[T, str]:
        """Calls, and keeps where its time went; what it answers, and the profile's id. Raises what it raises."""
        self._take()
        try:
            answer, profile = profile_call(call, title=title, at_ms=self.clock.now_ms())
        finally:
            self._busy.release()
        return answer, self._keep(profile)

    def close(self) -> None:
        """Cuts a recording short, keeps what it has, and waits for its thread."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _keep(self, profile: Profile) -> str:
        title = ", ".join(part for part in (profile.title, self._who) if part)
        return self.store.keep(replace(profile, title=title))

    def _take(self) -> None:
        if not self._busy.acquire(blocking=False):
            raise InvalidInput("a recording goes on already; there is one at a time, so wait for its end")

    def _run(self, kind: Lasting, seconds: float, at_ms: int) -> None:
        try:
            self._keep(_RECORD[kind](seconds, at_ms=at_ms, stop=self._stop))
            self.problem = ""
        except DashboardError as error:
            self.problem = str(error)
            log.warning("a recording was lost: %s", error)
        finally:
            self._now = None
            self._busy.release()
