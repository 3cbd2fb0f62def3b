"""Far away: a port of this machine seen over a long line, every byte late by the same time in each direction.

What a line costs is counted where it arises, in the connection, not per request. A reader who comes anew asks for the
name first, over the same line (a round trip, once); each connection then takes a round trip for TCP and one for TLS 1.3
before its first byte goes out; what is sent on a connection that stands is late but not held up by what was sent before
it. Left out, as they only cost more: loss and slow start.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

NAME, HANDSHAKES = 1, 2
"""Round trips before a connection carries a request: the name for a reader who has no other, then TCP and TLS 1.3."""
_CHUNK_BYTES = 65536
_LAST_TURNS_S = 0.02
_Due = tuple[float, bytes]


@dataclass
class _Line:
    """Connections to `port`, each `delay_s` long."""

    port: int
    delay_s: float
    named_s: float = 0.0
    """When the name of this host is known to whoever is connected."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        if not self.tasks:
            self.named_s = loop.time() + NAME * 2 * self.delay_s
        standing_s = max(loop.time(), self.named_s) + HANDSHAKES * 2 * self.delay_s
        task = loop.create_task(self._connection(reader, writer, standing_s))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, standing_s: float) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, back, standing_s))
                both.create_task(self._carry(there, writer, standing_s))
        except* OSError:
            pass  # either end left: so does the other
        finally:
            back.close()
            writer.close()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, from_s: float) -> None:
        """Hands on each chunk `delay_s` after it came, none sent before the moment `from_s`."""
        waiting: asyncio.Queue[_Due] = asyncio.Queue()
        async with asyncio.TaskGroup() as both:
            both.create_task(self._read(source, waiting, from_s))
            both.create_task(_write(waiting, target))

    async def _read(self, source: asyncio.StreamReader, waiting: asyncio.Queue[_Due], from_s: float) -> None:
        chunk = b"begin"
        while chunk:
            chunk = await source.read(_CHUNK_BYTES)
            waiting.put_nowait((max(asyncio.get_running_loop().time(), from_s) + self.delay_s, chunk))


async def _write(waiting: asyncio.Queue[_Due], target: asyncio.StreamWriter) -> None:
    """Until the empty chunk, which says that nothing more comes."""
    while True:
        due_s, chunk = await waiting.get()
        await asyncio.sleep(due_s - asyncio.get_running_loop().time())
        if not chunk:
            target.close()
            return
        target.write(chunk)


@contextmanager
def far_away(port: int, delay_s: float) -> Iterator[int]:
    """The port at which what serves at `port` is reached `delay_s` (each way) later."""
    loop = asyncio.new_event_loop()
    line = _Line(port, delay_s)
    server = loop.run_until_complete(asyncio.start_server(line.accept, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, name="far-away", daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(_end(server, line))
        loop.close()


async def _end(server: asyncio.Server, line: _Line) -> None:
    server.close()
    await asyncio.sleep(_LAST_TURNS_S)  # a connection that was just made is one to be ended
    for task in list(line.tasks):
        task.cancel()
    await asyncio.gather(*line.tasks, return_exceptions=True)
    await server.wait_closed()
    await asyncio.sleep(0)  # closed transports let go of their sockets in the next turn
