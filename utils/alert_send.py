"""Sends alert messages through Apprise, in a process of its own: the library holds 20 MB, the dashboard none of them.

`python -m utils.alert_send` reads a JSON list of [url, title, body] and answers one JSON line per message, in their
order: what went wrong, empty where nothing did. `python -m utils.alert_send check` reads a list of addresses and
answers the same of each, sending nothing. Addresses go through a pipe, never through the command line.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DEADLINE_S = 60.0
_ROOT = Path(__file__).resolve().parents[1]
UNKNOWN = "Apprise does not understand this address; see its documentation for what fits, such as json://host/path"
"""What no further attempt can mend."""


@dataclass(frozen=True, slots=True)
class Message:
    """To the Apprise address `url`, which is a secret."""

    url: str
    title: str
    body: str


def send(messages: Sequence[Message], *, deadline_s: float = DEADLINE_S) -> list[str]:
    """What went wrong with each message, empty where it arrived; the sender is ended at the deadline."""
    return _asked([[one.url, one.title, one.body] for one in messages], deadline_s)


def check(addresses: Sequence[str], *, deadline_s: float = DEADLINE_S) -> list[str]:
    """UNKNOWN for each address that Apprise does not understand, empty where it does; nothing is sent."""
    return _asked(list(addresses), deadline_s, "check")


def _asked(questions: Sequence[object], deadline_s: float, *words: str) -> list[str]:
    """One answer to each from a process of its own."""
    asked, command = json.dumps(questions), [sys.executable, "-m", "utils.alert_send", *words]
    try:
        run = subprocess.run(  # noqa: S603 - our own program; what is sent goes in by its input
            command, input=asked, capture_output=True, text=True, encoding="utf-8", cwd=_ROOT, timeout=deadline_s
        )
        answers, ending = run.stdout, f"the sender ended early (exit code {run.returncode})"
    except subprocess.TimeoutExpired as error:
        answers, ending = _text(error.stdout), f"no answer within {deadline_s:g} s"
    except OSError as error:
        answers, ending = "", f"the sender cannot be started: {error.strerror}"
    told = [str(json.loads(line)) for line in answers.splitlines() if line.endswith('"')][: len(questions)]
    return told + [ending] * (len(questions) - len(told))


def _text(output: str | bytes | None) -> str:
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else output or ""


def deliver(message: Message) -> str:
    """Sends one message now; what went wrong, in Apprise's words, empty where nothing did."""
    import apprise

    notes = _Notes()
    logger = logging.getLogger("apprise")
    logger.addHandler(notes)
    try:
        service = apprise.Apprise()
        if not service.add(message.url):
            return UNKNOWN
        # as plain text, which is escaped for the services that read HTML: `/symbol/<symbol>` would be a tag there
        arrived = service.notify(title=message.title, body=message.body, body_format=apprise.NotifyFormat.TEXT)
    except Exception as error:  # noqa: BLE001 - a hundred services, each with errors of its own
        return f"{type(error).__name__}: {error}"
    finally:
        logger.removeHandler(notes)
    return "" if arrived else "; ".join(notes.texts) or "the service refused it"


def understood(url: str) -> str:
    """UNKNOWN, or nothing: whether Apprise makes a service of the address, by the very way that sending takes."""
    import apprise

    try:
        return "" if apprise.Apprise().add(url) else UNKNOWN
    except Exception as error:  # noqa: BLE001 - a hundred services, each with errors of its own
        return type(error).__name__


class _Notes(logging.Handler):
    """What Apprise logs is all it tells of a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def main() -> int:
    checks = sys.argv[1:] == ["check"]
    for question in json.loads(sys.stdin.read()):
        sys.stdout.write(json.dumps(understood(question) if checks else deliver(Message(*question))) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
