"""Model speeds: how long a batch takes each model on this machine, measured beside the pages that show it."""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict

import numpy as np

from models.registry_entry import RegistryEntry
from utils.clock import Clock
from utils.memory_return import let_go_of_files

log = logging.getLogger(__name__)

WINDOWS = 32
"""In the batch that is timed."""
_ROUNDS = 5
_MOST_KEPT = 500


class ModelSpeeds:
    """Thread-safe. A model's session is built for its measuring alone, in a thread that lives as long as one is to be
    measured: building takes up to a second, which no page waits for."""

    def __init__(self, clock: Clock) -> None:
        self.changes = 0
        """Counts what became known, for the pages that show it."""
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, float | None] = OrderedDict()
        self._waiting: dict[str, RegistryEntry] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def known(self, entry: RegistryEntry) -> bool:
        """Whether it was measured; if not, it is going to be, but for after `close`."""
        with self._lock:
            if entry.digest in self._known:
                return True
            if self._closed:
                return False
            self._waiting[entry.digest] = entry
            if self._thread is None:
                self._thread = threading.Thread(target=self._measure_waiting, name="model-speeds", daemon=True)
                self._thread.start()
            return False

    def seconds(self, entry: RegistryEntry) -> float | None:
        """For one batch, the best of a few; None where the model fails, or was not measured."""
        return self._known.get(entry.digest)

    def close(self) -> None:
        """Waits for the model that is being measured: the runtime's threads must not outlive what they work for, or
        the end of the process becomes a crash."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _measure_waiting(self) -> None:
        while (entry := self._next()) is not None:
            try:
                found: float | None = measured_s(entry, self._clock)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one model, the others are measured
                log.warning("the speed of model %s cannot be measured: %s", entry.id, error)
                found = None
            with self._lock:
                self._known[entry.digest] = found
                self.changes += 1
                while len(self._known) > _MOST_KEPT:
                    self._known.popitem(last=False)

    def _next(self) -> RegistryEntry | None:
        """None ends the thread, so that whoever asks after that starts another."""
        with self._lock:
            found = next((one for digest, one in self._waiting.items() if digest not in self._known), None)
            if found is None:
                self._waiting.clear()
                self._thread = None
            return found


def measured_s(entry: RegistryEntry, clock: Clock) -> float:
    """Seconds for WINDOWS windows, the best of a few rounds. Raises ModelError."""
    session, spec = entry.open(), entry.spec
    shape = (WINDOWS, spec.window, len(spec.features)) if spec else (1, 1, 1)
    # Any numbers take the same time; `np.random` would stay in memory for these alone.
    windows = np.cos(np.arange(math.prod(shape), dtype=np.float32)).reshape(shape)
    times = []
    for _ in range(_ROUNDS):
        started_s = clock.monotonic()
        session.run(windows)
        times.append(clock.monotonic() - started_s)
    let_go_of_files()  # building a session touches ten megabytes of the runtime that nothing asks for again
    return min(times)
