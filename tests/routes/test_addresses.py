"""Remembered addresses: the very ones that Flask would build, whatever is asked for in between."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
from flask import Flask

from data.interval import Interval
from data.symbol import Symbol
from routes import addresses
from routes.addresses import App

AnyApp = TypeVar("AnyApp", bound=Flask)

CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("page", {"symbol": "BTCUSDT"}),
    ("page", {"symbol": Symbol("BTCUSDT"), "interval": Interval.H1}),
    ("page", {"symbol": "BTCUSDT", "show": ["rsi", "ema 50"], "model": None}),
    ("page", {"symbol": "BTCUSDT", "show": "rsi", "model": "a&b"}),
    ("page", {"symbol": "Ü/1", "at": 1}),
    ("page", {"symbol": "Ü/1", "at": True}),
    ("page", {"symbol": "Ü/1", "at": 1.0}),
    ("page", {"symbol": "BTCUSDT", "show": ["1", 1]}),
    ("page", {"symbol": "BTCUSDT", "_anchor": "chart"}),
    ("page", {"symbol": "BTCUSDT", "_external": True}),
    ("start", {}),
)


def _with_routes(app: AnyApp) -> AnyApp:
    app.add_url_rule("/", "start", lambda: "")
    app.add_url_rule("/symbol/<symbol>", "page", lambda symbol: symbol)
    return app


@pytest.mark.parametrize("mounted", ["/", "/below"])
def test_what_is_remembered_is_what_flask_builds(mounted: str) -> None:
    app, plain = _with_routes(App(__name__)), _with_routes(Flask(__name__))
    for _ in range(3):
        with app.test_request_context(base_url=f"http://host{mounted}"):
            ours = [app.url_for(endpoint, **values) for endpoint, values in CASES]
        with plain.test_request_context(base_url=f"http://host{mounted}"):
            assert ours == [plain.url_for(endpoint, **values) for endpoint, values in CASES]


def test_an_address_is_built_once_and_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    build = Flask.url_for

    def counted(app: Flask, endpoint: str, **values: Any) -> str:
        built.append(endpoint)
        return build(app, endpoint, **values)

    monkeypatch.setattr(Flask, "url_for", counted)
    monkeypatch.setattr(addresses, "_MOST", 4)
    app = _with_routes(App(__name__))
    with app.test_request_context():
        for _ in range(5):
            app.url_for("page", symbol="BTCUSDT")
        assert built == ["page"]
        for number in range(50):
            app.url_for("page", symbol=f"COIN{number}")
        assert len(app._remembered) <= 4
        assert app.url_for("page", symbol="BTCUSDT") == "/symbol/BTCUSDT"


def test_outside_of_a_request_flask_decides() -> None:
    app = _with_routes(App(__name__))
    with app.app_context(), pytest.raises(RuntimeError, match="outside an active request"):
        app.url_for("start")
