"""Compression: what a Chromium receives in a session, and every text answer of every route, against plain bytes."""

from __future__ import annotations

import http.client
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.measure import (
    Reading,
    Row,
    faster,
    interleaved,
    print_rows,
    reading,
    result,
    saves,
    seconds_per_call,
)
from benchmarks.served import market, market_words, served
from benchmarks.sessions import CYCLE, READERS, Received, sessions
from config import load_settings
from utils.content_encoding import ZSTD, compress, decompress
from utils.dictionaries import delta, name_of

_ENCODINGS = {"as Chrome asks": "gzip, deflate, br, zstd", "gzip": "gzip", "br": "br", "zstd": "zstd"}
_PLAIN = "identity"
_TEXT = re.compile(r"text/|application/(json|javascript|xml|openmetrics-text)|image/svg\+xml")
_SHOWN = 14
_NEWS_S = 2.0
_CALLS = 30
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
_PROGRAM = "API, "
"""How the names begin of what the program at the API asks for."""
_SPEED = 120
"""Of the market in the sessions: between two looks at the news four minutes pass in it, and the hour closes twice."""
_WITH, _WITHOUT = "with dictionaries", "without"
_RECEIVED_KINDS = {
    "styles and scripts": r"^/assets/",
    "data of the chart": r"/chart\.json$",
    "living parts": r"/live$",
    "pages": "",
}


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
        costs = _cost_rows(server.port, 3 if short else 9)
    rows = _session_rows(_sessions(played, short=short))
    rows += [saves(f"text answers, all bytes, {name}", *_weighed(answers, name), 0.85) for name in _ENCODINGS]
    rows.append(saves("text answers, mean of each for itself, as Chrome asks", *_unweighed(answers), 0.0))
    rows += [*_kind_rows(answers), *costs]
    if not short:
        rows += _asked_rows(answers, report.read())
    print_rows(f"{len(answers)} text answers of {market_words(played)}", rows)
    notes = [
        f"The session: {READERS['watcher']} readers keep the overview open, {READERS['trader']} open six markets, "
        "twice the forecasts and once models, performance and the overview, within a minute of a fresh profile, as "
        f"often as the readers under load do; prices move {_SPEED} times as fast as they did and candles close. Two "
        "applications, one without dictionaries, are read at the same time. Everything that had a body and travelled; "
        "what the browser took from its cache is not among it.",
        f"{len(answers)} text answers of a client without dictionaries, each once: every route that answers GET, and "
        "every style and script; bodies alone.",
    ]
    return result("bytes", rows, notes=notes, answers=answers, plots={"compression": _plot(answers)})


def _sessions(played: Mapping[str, str], *, short: bool) -> dict[str, list[Received]]:
    """What readers of the application with and without dictionaries received."""
    from playwright.sync_api import sync_playwright

    from tests.support.browser import launch

    moving = {**played, "SIMULATED_SPEED": str(_SPEED)}
    with ExitStack() as running:
        addresses = {}
        for name, switch in ((_WITH, "True"), (_WITHOUT, "False")):
            server = running.enter_context(served(moving, ENABLE_COMPRESSION_DICTIONARIES=switch))
            addresses[name] = f"http://127.0.0.1:{server.port}"
        browser = launch(running.enter_context(sync_playwright()))
        cycle = CYCLE[2:4] if short else CYCLE
        found = sessions(browser, addresses, played["SYMBOLS"].split(","), cycle)
        browser.close()
    return found


def _session_rows(received: Mapping[str, Sequence[Received]]) -> list[Row]:
    """Only the first has a target: it is what reaches a reader in the end."""
    name = "text answers a Chromium receives in a session"
    ours, others = received[_WITH], received[_WITHOUT]
    kinds: dict[str, list[Received]] = {}
    for one in ours:
        kinds.setdefault(next(kind for kind, fits in _RECEIVED_KINDS.items() if re.search(fits, one.path)), []).append(
            one
        )
    return [
        saves(f"{name}, bodies alone", *_in_all(ours), 0.85),
        saves(f"{name}, headers included on both sides", *_in_all(ours, headers=True), 0.0),
        saves(f"{name}, bodies alone, dictionaries off", *_in_all(others), 0.0),
        saves(f"{name}, headers included on both sides, dictionaries off", *_in_all(others, headers=True), 0.0),
        *(saves(f"{kind} of the session, bodies alone", *_in_all(kinds[kind]), 0.0) for kind in kinds),
    ]


def _in_all(received: Sequence[Received], *, headers: bool = False) -> tuple[Reading, Reading]:
    """(what travelled, the same uncompressed), each reader as often as there are of its kind."""
    sent = plain = 0
    for one in received:
        more = one.transferred_bytes - one.body_bytes if headers else 0
        sent += READERS[one.reader] * (one.body_bytes + more)
        plain += READERS[one.reader] * (one.plain_bytes + more)
    return Reading(sent / 1000, 0.0, "KB"), Reading(plain / 1000, 0.0, "KB")


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
    return len(_body(port, path, encoding))


def _body(port: int, path: str, encoding: str) -> bytes:
    """Empty for what is not text, or not 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers={"Accept-Encoding": encoding})
        answer = connection.getresponse()
        body = answer.read()
        text = _TEXT.match(answer.getheader("Content-Type", ""))
        return body if answer.status == http.client.OK and text else b""
    finally:
        connection.close()


def _cost_rows(port: int, rounds: int) -> list[Row]:
    """What it takes to say what differs, with what a kept page has to be unpacked for it, against compressing anew."""
    rows = []
    for name, path in (("overview", "/live"), ("market", "/symbol/BTCUSDT/live?interval=1h")):
        before = _body(port, path, _PLAIN)
        time.sleep(_NEWS_S)
        after = _body(port, path, _PLAIN)
        known, stored = name_of(before), compress(after, ZSTD)
        works = {
            "delta": partial(_differing, stored, len(after), known, before),
            "br": partial(compress, after, "br"),
        }
        timed = {what: partial(_milliseconds, work) for what, work in works.items()}
        seen = {what: reading(values, "ms") for what, values in interleaved(timed, rounds).items()}
        rows.append(faster(f"saying what differs in the news of the {name}, against br", seen["delta"], seen["br"], 1))
    return rows


def _differing(stored: bytes, length: int, known: str, before: bytes) -> bytes:
    return delta(decompress(stored, ZSTD, length), known, before)


def _milliseconds(work: Callable[[], object]) -> float:
    return 1e3 * seconds_per_call(work, _CALLS)


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


def _asked_rows(answers: Sequence[Answer], results: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Each answer as often as Locust's readers, who know no dictionaries, asked for it in the kept run under load; of
    the program at the API alone too. Nothing without such a run."""
    requests: Sequence[Mapping[str, Any]] = next((one["requests"] for one in results if one["name"] == "load"), [])
    counts = {one["name"]: one["count"] for one in requests}
    what = "text answers, each as often as {} under load asks for it, as Chrome asks"
    chosen = {"every reader": (_READERS_ASK, 0.85), "the program at the API": (_of_the_program(), 0.0)}
    rows = []
    for who, (asked, target) in chosen.items():
        sent = plain = 0.0
        for name, fits in asked.items():
            answer = next((one for one in answers if re.fullmatch(fits, one.path)), None)
            if answer is not None:
                sent += counts.get(name, 0) * answer.sent_bytes["as Chrome asks"]
                plain += counts.get(name, 0) * answer.plain_bytes
        if plain:
            both = Reading(sent / 1e6, 0.0, "MB"), Reading(plain / 1e6, 0.0, "MB")
            rows.append(saves(what.format(who), *both, target))
    return rows


def _of_the_program() -> dict[str, str]:
    return {name: fits for name, fits in _READERS_ASK.items() if name.startswith(_PROGRAM)}


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
