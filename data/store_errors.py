"""Store errors: what a database refused, as a sentence for the operator, without SQL or values."""

from __future__ import annotations

BUSY_TIMEOUT_S = 5.0
"""How long SQLite waits for another program's lock."""
TRAINER_PATIENCE_S = 120.0
"""How long a training or check waits for the dashboard's lock: it has worked for long, and nobody waits for it."""
WRITER_WAIT_S = 30.0
"""How long a thread waits for the others that write."""
_MOST_CHARS = 120
_PLAIN_TEXTS = (
    ("disk is full", "the disk is full; free some space, reading goes on meanwhile"),
    ("readonly", "the database is read-only; allow writing to the file and its folder"),
    ("unable to open", "the database cannot be opened; check that its folder exists and may be written to"),
    ("locked", "the database was locked by another program for too long; end that program, or try again"),
    ("malformed", "the database is damaged; restart, which moves the damaged file aside and begins a new one"),
    ("not a database", "the file is not a database; restart, which moves it aside and begins a new one"),
    ("no space left", "the disk of the database server is full; free some space, reading goes on meanwhile"),
    ("refused", "the database server does not answer; start it, or correct the address in DATABASE_URL"),
    ("has not answered", "the database server does not answer; look whether it runs and can be reached"),
    ("timeout expired", "the database server does not answer; look whether it runs and can be reached"),
    ("resolve host", "the name of the database server is unknown; correct the address in DATABASE_URL"),
    ("password authentication", "the database server refuses this user or password; correct DATABASE_URL"),
    ("too many clients", "the database server has no connection left; raise its max_connections"),
    ("read-only transaction", "the database server is read-only, as a standby is; name the primary in DATABASE_URL"),
    ("terminating connection", "the database server ended the connection; the next try opens a new one"),
    ("closed the connection", "the database server ended the connection; the next try opens a new one"),
    ("lock timeout", f"the database is locked by another program for more than {WRITER_WAIT_S:g} s; end that program"),
    ("disk i/o", "the disk failed while reading or writing the database; look at the disk"),
)
"""(part of what the database says, in small letters; what the operator reads): the first that fits counts."""


def plain_text(error: Exception) -> str:
    """What is unknown is quoted, cut to its first line and 120 characters."""
    cause = str(getattr(error, "orig", None) or error).splitlines()[0]
    for part, text in _PLAIN_TEXTS:
        if part in cause.lower():
            return text
    return f"the database refused: {cause[:_MOST_CHARS]}"
