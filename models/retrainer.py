"""Retrainer: trains models again by their schedules, lets the new challenge the old, and exchanges them if it wins.

Everything is decided by what the database and the models' folder say, so a dashboard that is ended or killed at any
point goes on where it was: the new model is trained, then judged, then promoted or laid aside, each once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from data.symbol import Symbol
from models.ensembles import Ensembles
from models.job_requests import CheckRequest, Task
from models.jobs import Job, JobState
from models.promotion import Promotion
from models.registry import Registry
from models.registry_entry import RegistryEntry, Status
from models.result_store import ResultStore, StoredResult
from models.retraining import retraining
from models.schedules import Schedule, ScheduleStore
from models.training_runner import TrainingRunner
from utils.clock import Clock
from utils.errors import DashboardError, NotFound

log = logging.getLogger(__name__)


class Retrainer:
    """`tick` is called by the training runner's thread; `followed` gives the markets that the dashboard follows."""

    def __init__(
        self,
        *,
        schedules: ScheduleStore,
        runner: TrainingRunner,
        registry: Registry,
        promotion: Promotion,
        results: ResultStore,
        ensembles: Ensembles,
        followed: Callable[[], Sequence[Symbol]],
        clock: Clock,
    ) -> None:
        self.schedules = schedules
        self._runner = runner
        self._registry = registry
        self._promotion = promotion
        self._results = results
        self._ensembles = ensembles
        self._followed = followed
        self._clock = clock

    def set(self, model_id: str, every: int, unit: str) -> Schedule:
        """InvalidInput where the model cannot be retrained, or so often does not fit."""
        entry = self._registry.get(model_id)
        retraining(entry, self._followed(), self._runner.free_id)
        if entry.spec is None:  # `Registry.get` gives usable entries only
            raise NotFound(f"model {model_id!r} has no spec")
        venue, now_ms = self._runner.venue, self._clock.now_ms()
        return self.schedules.set(entry.id, entry.spec.interval, every, unit, venue=venue, now_ms=now_ms)

    def now(self, model_id: str) -> Job:
        """Retrains it at once, by its schedule. NotFound where it has none, or one is under way already."""
        schedule = self.schedules.get(model_id)
        if schedule is None:
            raise NotFound(f"model {model_id!r} has no schedule; set one first")
        if schedule.challenger:
            raise NotFound(f"{schedule.challenger} is being trained or judged already")
        return self._begin(schedule, self._registry.get(model_id))

    def tick(self) -> None:
        """Looks at every schedule of the exchange in use once."""
        for schedule in self.schedules.all():
            if schedule.venue != self._runner.venue:
                continue
            try:
                self._look(schedule)
            except DashboardError as error:
                self._end(schedule, f"not retrained: {error}")

    def _look(self, schedule: Schedule) -> None:
        entry = self._entry(schedule.model_id)
        if entry is None or entry.spec is None:
            log.warning("model %s is gone or broken; it is not retrained any more", schedule.model_id)
            self.schedules.remove(schedule.model_id)
        elif schedule.challenger:
            self._follow(schedule, entry)
        elif self._clock.now_ms() >= schedule.due_ms(entry.spec.interval):
            self._begin(schedule, entry)

    def _begin(self, schedule: Schedule, entry: RegistryEntry) -> Job:
        # first, so that a request that cannot be met is not made again with every look
        self.schedules.change(schedule.model_id, last_ms=self._clock.now_ms())
        request = retraining(entry, self._followed(), self._runner.free_id)
        job = self._runner.submit(request)
        self.schedules.change(schedule.model_id, challenger=request.model_id, note=f"training {job.id} began")
        log.info("model %s is retrained as %s, in training %d", entry.id, request.model_id, job.id)
        return job

    def _follow(self, schedule: Schedule, champion: RegistryEntry) -> None:
        """Trained? Then judged? Then decided."""
        training = self._runner.jobs.newest(Task.TRAIN, schedule.challenger)
        if training is not None and training.unfinished:
            return
        challenger = self._entry(schedule.challenger)
        if challenger is None:
            why = f"{training.state}: {training.message}" if training is not None else "its training is gone"
            self._end(schedule, f"no new model came of it ({why})")
            return
        found = self._results.get(challenger.digest, Task.CHALLENGE)
        if found is not None and found.against == champion.digest:
            self._decide(schedule, champion, challenger, found)
            return
        self._judge(schedule, champion, challenger)

    def _judge(self, schedule: Schedule, champion: RegistryEntry, challenger: RegistryEntry) -> None:
        if champion.spec is None:
            return
        request = CheckRequest(Task.CHALLENGE, challenger.id, champion.spec.interval, against=champion.id)
        judging = self._runner.jobs.newest(Task.CHALLENGE, challenger.id)
        if judging is None or judging.request != request:
            self._runner.ask(request)
        elif not judging.unfinished and judging.state is not JobState.DONE:
            self._end(schedule, f"{challenger.id} was not judged ({judging.state}: {judging.message})")

    def _decide(
        self, schedule: Schedule, champion: RegistryEntry, challenger: RegistryEntry, found: StoredResult
    ) -> None:
        """A winner takes the place that the old one has, in use or not; a loser is laid aside, never deleted."""
        words = str(found.result["words"])
        if not found.result["won"]:
            if not self._needed(challenger.id):
                self._promotion.archive(challenger.id)
            self._end(schedule, words)
            return
        if self._took_over(champion, challenger):
            words += "; it serves now"
        if mixes := self._ensembles.pass_on(champion.id, challenger.id):
            words += f"; it takes the place of {champion.id} in {', '.join(mixes)}"
        self.schedules.pass_on(schedule.model_id, challenger.id, words)
        log.info("%s", words)

    def _took_over(self, champion: RegistryEntry, challenger: RegistryEntry) -> bool:
        """The place that the old one has, in its interval or in its own markets; False where it serves nothing."""
        if champion.spec is not None and champion.spec.symbols:
            return self._promotion.pass_on(champion.id, challenger.id)
        serving = self._promotion.champions.of(champion.spec.interval) if champion.spec is not None else None
        if serving is None or serving.id != champion.id:
            return False
        self._promotion.promote(challenger.id)
        return True

    def _needed(self, model_id: str) -> bool:
        """Whether it serves, or an ensemble that does needs it."""
        serving = {one.id for one in self._promotion.in_use().values()}
        return model_id in serving or model_id in self._promotion.needed()

    def _end(self, schedule: Schedule, note: str) -> None:
        self.schedules.change(schedule.model_id, challenger="", note=note)
        log.info("schedule of %s: %s", schedule.model_id, note)

    def _entry(self, model_id: str) -> RegistryEntry | None:
        return next((one for one in self._registry.usable() if one.id == model_id and one.status is Status.OK), None)
