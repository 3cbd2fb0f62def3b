"""Compression: every text answer of every route as it travels, against its plain bytes."""

from __future__ import annotations

import http.client
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.measure import Reading, Row, print_rows, result, saves
from benchmarks.served import market, market_words, served
from config import load_settings

_ENCODINGS = {"as Chrome asks": "gzip, deflate, br, zstd", "gzip": "gzip", "br": "br", "zstd": "zstd"}
_PLAIN = "identity"
_TEXT = re.compile(r"text/|application/(json|javascript|xml|openmetrics-text)|image/svg\+xml")
_SHOWN = 14
_KINDS = {
    "styles and scripts": r"^/assets/",
    "tables as CSV": r"\.csv$",
    "JSON": r"^/api/|\.json$|^/(health|ready)$",
    "metrics": r"^/metrics$",
    "pages and their living parts": "",
}
_READERS_ASK = {
    "overview": "/",
    "overview, news": "/live",
    "market": r"/symbol/\w+",
    "market, news": r"/symbol/\w+/live",
    "market, chart data": r"/symbol/\w+/chart\.json",
    "forecasts": "/forecasts",
    "models": "/models",
    "performance": "/performance",
    "API, candles": r"/api/v1/candles/\w+",
    "API, indicators": r"/api/v1/indicators/\w+",
    "API, forecast": r"/api/v1/forecast/\w+",
}
"""Which address stands for each kind of request of `benchmarks/locustfile.py`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One address, its plain size and its sizes on the wire by the encoding that was asked for, bodies alone."""

    path: str
    plain_bytes: int
    sent_bytes: dict[str, int]


def run(*, short: bool = False) -> dict[str, Any]:
    """`short` asks for a few addresses with 5 markets."""
    played = market(5 if short else 20)
    with served(played) as server:
        paths = [path for path in addresses(played["SYMBOLS"].split(",")[0]) if not short or path.count("/") < 3]
        answers = [found for path in paths if (found := _answer(server.port, path)) is not None]
    rows = [saves(f"text answers, all bytes, {name}", *_weighed(answers, name), 0.85) for name in _ENCODINGS]
    rows.append(saves("text answers, mean of each for itself, as Chrome asks", *_unweighed(answers), 0.0))
    rows += _kind_rows(answers)
    if not short:
        rows += _asked_row(answers, report.read())
    print_rows(f"{len(answers)} text answers of {market_words(played)}", rows)
    notes = [f"{len(answers)} text answers: every route that answers GET, and every style and script; bodies alone."]
    return result("bytes", rows, notes=notes, answers=answers, plots={"compression": _plot(answers)})


def addresses(symbol: str) -> list[str]:
    """Every route of the application that answers GET, with real values for what varies, and every asset."""
    import app as application

    models = [path.parent.name for path in (Path(application.__file__).parent / "saved_models").glob("*/manifest.json")]
    values = {"symbol": symbol, "model_id": models[0] if models else "none", "interval": "1h"}
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(environ={}, env_file=None, instance_path=f"{folder}/instance")
        app = application.create_app(settings)
        try:
            rules = [rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())]
            assets = app.extensions["assets"]
            files = [f"/assets/own/{assets.digest}/{name}" for name in assets.own_names]
            files += [f"/assets/vendor/{file.file}" for file in assets.vendor.values()]
        finally:
            app.extensions["parts"].database.close()
    filled = [path for rule in rules for path in _filled(rule.rule, values)]
    return sorted({*filled, *files})


def _filled(rule: str, values: dict[str, str]) -> list[str]:
    """The rule with its variables filled in, once for each of a choice; nothing where a value is not known."""
    choice = re.search(r"<any\(([^)]*)\):\w+>", rule)
    if choice is not None:
        return [
            path
            for one in choice[1].split(",")
            for path in _filled(rule.replace(choice[0], one.strip().strip("'\"")), values)
        ]
    names = re.findall(r"<(?:[^:<>]*:)?(\w+)>", rule)
    if not all(name in values for name in names):
        return []
    return [re.sub(r"<(?:[^:<>]*:)?(\w+)>", lambda found: values[found[1]], rule)]


def _answer(port: int, path: str) -> Answer | None:
    """None for what is not text, not 200, or empty."""
    plain = _size(port, path, _PLAIN)
    if not plain:
        return None
    sent = {name: _size(port, path, asked) for name, asked in _ENCODINGS.items()}
    return Answer(path, plain, sent) if all(sent.values()) else None


def _size(port: int, path: str, encoding: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers={"Accept-Encoding": encoding})
        answer = connection.getresponse()
        body = answer.read()
        text = _TEXT.match(answer.getheader("Content-Type", ""))
        return len(body) if answer.status == http.client.OK and text else 0
    finally:
        connection.close()


def _weighed(answers: Sequence[Answer], name: str) -> tuple[Reading, Reading]:
    sent = sum(answer.sent_bytes[name] for answer in answers) / 1000
    plain = sum(answer.plain_bytes for answer in answers) / 1000
    return Reading(sent, 0.0, "KB"), Reading(plain, 0.0, "KB")


def _kind_rows(answers: Sequence[Answer]) -> list[Row]:
    """By kind of answer, without a target: digits do not compress, words do."""
    by_kind: dict[str, list[Answer]] = {}
    for answer in answers:
        by_kind.setdefault(next(kind for kind, fits in _KINDS.items() if re.search(fits, answer.path)), []).append(
            answer
        )
    return [
        saves(f"{kind}, {len(found)} answers, as Chrome asks", *_weighed(found, "as Chrome asks"), 0.0)
        for kind, found in by_kind.items()
    ]


def _asked_row(answers: Sequence[Answer], results: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Each answer as often as Locust's readers asked for it in the kept run under load; nothing without such a run."""
    requests: Sequence[Mapping[str, Any]] = next((one["requests"] for one in results if one["name"] == "load"), [])
    counts = {one["name"]: one["count"] for one in requests}
    sent = plain = 0.0
    for name, fits in _READERS_ASK.items():
        answer = next((one for one in answers if re.fullmatch(fits, one.path)), None)
        if answer is not None:
            sent += counts.get(name, 0) * answer.sent_bytes["as Chrome asks"]
            plain += counts.get(name, 0) * answer.plain_bytes
    if not plain:
        return []
    what = "text answers, each as often as readers under load ask for it, as Chrome asks"
    return [saves(what, Reading(sent / 1e6, 0.0, "MB"), Reading(plain / 1e6, 0.0, "MB"), 0.85)]


def _unweighed(answers: Sequence[Answer]) -> tuple[Reading, Reading]:
    shares = [100 * answer.sent_bytes["as Chrome asks"] / answer.plain_bytes for answer in answers]
    return Reading(sum(shares) / len(shares), 0.0, "% of its bytes"), Reading(100.0, 0.0, "% of its bytes")


def _plot(answers: Sequence[Answer]) -> dict[str, Any]:
    largest = sorted(answers, key=lambda answer: -answer.plain_bytes)[:_SHOWN]
    return {
        "title": "Largest text answers: bytes on the wire (narrow bar) of plain bytes (wide bar)",
        "unit": "KB",
        "lines": [
            {
                "name": re.sub(r"^/assets/(own/\w+|vendor)/", "", answer.path)[-34:],
                "value": answer.sent_bytes["as Chrome asks"] / 1000,
                "second": answer.plain_bytes / 1000,
                "text": f"−{100 * (1 - answer.sent_bytes['as Chrome asks'] / answer.plain_bytes):.0f} %",
            }
            for answer in largest
        ],
    }


if __name__ == "__main__":
    run()
