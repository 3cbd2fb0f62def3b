"""Store errors: what a database refused, as a sentence for the operator, without SQL or values."""

from __future__ import annotations

from utils.errors import StoreError, StoreUnreachable

BUSY_TIMEOUT_S = 5.0
"""How long SQLite waits for another program's lock."""
TRAINER_PATIENCE_S = 120.0
"""How long a training or check waits for the dashboard's lock: it has worked for long, and nobody waits for it."""
WRITER_WAIT_S = 30.0
"""How long a thread waits for the others that write."""
_MOST_CHARS = 120
_ABSENT_TEXTS = (
    ("refused", "the database server does not answer; start it, or correct the address in DATABASE_URL"),
    ("has not answered", "the database server does not answer; look whether it runs and can be reached"),
    ("timeout expired", "the database server does not answer; look whether it runs and can be reached"),
    ("resolve host", "the name of the database server is unknown; correct the address in DATABASE_URL"),
    ("no route to host", "the database server cannot be reached; look at the network, or correct DATABASE_URL"),
    ("network is unreachable", "the database server cannot be reached; look at the network, or correct DATABASE_URL"),
    ("starting up", "the database server is still starting; wait for it"),
    ("shutting down", "the database server is shutting down; start it again"),
    ("too many clients", "the database server has no connection left; raise its max_connections"),
    ("terminating connection", "the database server ended the connection; the next try opens a new one"),
    ("closed the connection", "the database server ended the connection; the next try opens a new one"),
)
"""The same as _PLAIN_TEXTS, of a server that is not there now and may be there later. They come first."""
_PLAIN_TEXTS = (
    ("disk is full", "the disk is full; free some space, reading goes on meanwhile"),
    ("readonly", "the database is read-only; allow writing to the file and its folder"),
    ("unable to open", "the database cannot be opened; check that its folder exists and may be written to"),
    ("locked", "the database was locked by another program for too long; end that program, or try again"),
    ("malformed", "the database is damaged; restart, which moves the damaged file aside and begins a new one"),
    ("not a database", "the file is not a database; restart, which moves it aside and begins a new one"),
    ("no space left", "the disk of the database server is full; free some space, reading goes on meanwhile"),
    ("password authentication", "the database server refuses this user or password; correct DATABASE_URL"),
    ("read-only transaction", "the database server is read-only, as a standby is; name the primary in DATABASE_URL"),
    ("lock timeout", f"the database is locked by another program for more than {WRITER_WAIT_S:g} s; end that program"),
    ("disk i/o", "the disk failed while reading or writing the database; look at the disk"),
)
"""(part of what the database says, in small letters; what the operator reads): the first that fits counts."""


def store_error(error: Exception) -> StoreError:
    """What the database said, as our error; a StoreUnreachable where its server is not there."""
    text = _told(error, _ABSENT_TEXTS)
    return StoreUnreachable(text) if text else StoreError(plain_text(error))


def plain_text(error: Exception) -> str:
    """What is unknown is quoted, cut to its first line and 120 characters."""
    known = _told(error, (*_ABSENT_TEXTS, *_PLAIN_TEXTS))
    return known or f"the database refused: {_words(error).splitlines()[0][:_MOST_CHARS]}"


def _told(error: Exception, texts: tuple[tuple[str, str], ...]) -> str:
    """All lines count: of a name with several addresses the first one says only that none would do."""
    words = _words(error).lower()
    return next((text for part, text in texts if part in words), "")


def _words(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error)
