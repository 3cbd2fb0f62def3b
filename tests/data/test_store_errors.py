"""Store errors: which words of a database mean that its server is not there, which that it refuses."""

from __future__ import annotations

import pytest

from data.store_errors import plain_text, store_error
from utils.errors import StoreError, StoreUnreachable


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("connection to server at \"::1\", port 1 failed: Connection refused\n\tIs it running?", "start it"),
        ("Multiple connection attempts failed. All failures were:\n- host: 'db': Connection refused", "start it"),
        ("connection timeout expired", "look whether it runs"),
        ("failed to resolve host 'db': [Errno -2] Name or service not known", "the name of the database server"),
        ("connection failed: FATAL:  the database system is starting up", "still starting; wait for it"),
        ("FATAL:  sorry, too many clients already", "no connection left"),
        ("connection is bad: No route to host", "cannot be reached"),
    ],
)  # fmt: skip
def test_a_server_that_is_not_there_may_be_there_later(words: str, told: str) -> None:
    error = store_error(OSError(words))
    assert type(error) is StoreUnreachable
    assert told in str(error)
    assert str(error) == plain_text(OSError(words))


@pytest.mark.parametrize(
    "words",
    ['FATAL:  database "x" does not exist', "FATAL:  password authentication failed for user", "disk is full"],
)
def test_a_database_that_refuses_is_asked_in_vain(words: str) -> None:
    assert type(store_error(OSError(words))) is StoreError
