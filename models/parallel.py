"""Parallel: one call for folds, markets and sweeps, on this machine's processors or on a Dask cluster, by joblib.

Each piece of work travels whole, with everything it needs, so a worker that dies takes nothing along: the cluster's
scheduler gives its piece to another. Results come in the order of the pieces, wherever they were made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from utils.errors import InvalidInput, NotReady

Piece = TypeVar("Piece")
Result = TypeVar("Result")
CONNECT_S = 10
_ADDRESS = re.compile(r"(?:tcp|tls)://[^\s/@]+:\d{1,5}")


@dataclass(frozen=True, slots=True)
class Workers:
    """`count` processes of this machine (1: this one alone), or a Dask `scheduler` such as tcp://10.0.0.5:8786."""

    count: int = 1
    scheduler: str = ""

    def check(self) -> Workers:
        """InvalidInput where it is neither."""
        if self.count < 1:
            raise InvalidInput(f"{self.count} workers cannot work; give 1 or more")
        if self.scheduler and not _ADDRESS.fullmatch(self.scheduler):
            raise InvalidInput(
                f"the scheduler {self.scheduler[:80]!r} is no address; give one like tcp://10.0.0.5:8786"
            )
        return self


ALONE = Workers()


def chosen(count: int | None, scheduler: str) -> Workers:
    """What was asked for on a command line; where no count was given, the cluster of the settings if they name one."""
    return Workers(count or 1, "" if count else scheduler).check()


@dataclass(frozen=True, slots=True)
class _Work(Generic[Piece, Result]):
    """Without a weak reference, which is what joblib's Dask backend asks for before it leaves data with one worker."""

    function: Callable[[Piece], Result]
    piece: Piece

    def __call__(self) -> Result:
        return self.function(self.piece)


def run_all(function: Callable[[Piece], Result], pieces: Sequence[Piece], workers: Workers = ALONE) -> Iterator[Result]:
    """`function` of each piece, in their order, each as soon as it and those before it are there.

    What `function` raises is raised here. NotReady where the cluster cannot be reached, or has no worker.
    """
    workers.check()
    if not workers.scheduler and (workers.count == 1 or len(pieces) < 2):
        yield from map(function, pieces)
        return
    from joblib import Parallel, delayed

    with ExitStack() as stack:
        stack.enter_context(_backend(workers, stack))
        parallel = Parallel(return_as="generator", batch_size=1, pre_dispatch="all")
        yield from _plain_errors(parallel(delayed(_done)(_Work(function, piece)) for piece in pieces), workers)


def _plain_errors(results: Iterator[Result], workers: Workers) -> Iterator[Result]:
    """A cluster gives a piece up after its fourth dead worker."""
    if not workers.scheduler:
        yield from results
        return
    from distributed import KilledWorker

    try:
        yield from results
    except KilledWorker as error:
        raise NotReady(
            "a piece of work ended its worker again and again, most often for want of memory; give the workers more, "
            "or choose fewer markets or a shorter range"
        ) from error


def _done(work: _Work[Any, Result]) -> Result:
    return work()


def _backend(workers: Workers, stack: ExitStack) -> AbstractContextManager[Any]:
    from joblib import parallel_config

    if not workers.scheduler:
        made: AbstractContextManager[Any] = parallel_config("loky", n_jobs=workers.count, inner_max_num_threads=1)
        return made
    try:
        from distributed import Client
    except ImportError as error:
        raise NotReady("a Dask cluster needs the package distributed: pip install distributed") from error
    try:
        client = stack.enter_context(Client(workers.scheduler, timeout=CONNECT_S, set_as_default=False))
    except OSError as error:
        raise NotReady(f"the Dask scheduler {workers.scheduler} does not answer; start it, or unset it") from error
    if not client.ncores():
        raise NotReady(f"the Dask scheduler {workers.scheduler} has no worker; start some: dask worker ADDRESS")
    return parallel_config(_telling(client))  # type: ignore[no-any-return]


def _telling(client: Any) -> Any:
    """joblib's Dask backend, which would wait for ever for a piece that failed outside its function: one whose workers
    all died, or whose code a worker does not have."""
    from joblib._dask import DaskDistributedBackend

    class Telling(DaskDistributedBackend):  # type: ignore[misc]  # joblib has no types
        def submit(self, func: Any, callback: Any = None) -> Any:
            future = super().submit(func, callback)

            def failed(done: Any) -> None:
                if callback is not None and (error := done.exception()) is not None:
                    callback(error)

            future.add_done_callback(failed)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, BaseException):
                raise out
            return super().retrieve_result_callback(out)

    return Telling(client=client)
