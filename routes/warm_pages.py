"""Warm pages: asks the application for its own pages before anybody else does, so that their bytes are there."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask

from routes.login import COOKIE, open_session
from routes.observed import OURS

_ENCODINGS = ("br", "gzip")
"""What browsers ask for; the others are made when somebody does."""


def page_renderer(app: Flask, host: str = "127.0.0.1") -> Callable[[str], tuple[int, int]]:
    """A function from an address to (status, bytes sent with brotli), asked as a reader who is logged in.

    What is asked so is in no statistics: it is slow because nothing was kept yet, which no reader has to wait for.
    `host` must be among the trusted hosts.
    """
    cookie = open_session(app)

    def render(path: str) -> tuple[int, int]:
        client = app.test_client()
        if cookie:
            client.set_cookie(COOKIE, cookie, domain=host)
        answers = [
            client.get(
                path,
                base_url=f"http://{host}",
                headers={"Accept-Encoding": encoding, "Accept": "text/html"},
                environ_overrides={OURS: True},
            )
            for encoding in _ENCODINGS
        ]
        return answers[0].status_code, len(answers[0].data)

    return render
