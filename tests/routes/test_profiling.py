"""Profiling: the process, one request, the memory; one at a time, bounded, and for the operator alone."""

from __future__ import annotations

import errno
import re
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from routes.flame_graph import flame, look, tree
from tests.support.browser import Replay
from tests.support.pages import client, replay
from tests.support.whole_app import whole_app
from utils import profile_store
from utils.clock import ManualClock
from utils.errors import FileError, InvalidInput, NotFound, StoreError
from utils.memory_snapshot import snapshot_memory
from utils.profile import MOST_STACKS, OTHERS, Profile, Site, StackSum, folded, from_bytes, hottest, to_bytes
from utils.profile_recorder import ProfileRecorder
from utils.profile_store import MOST_PROFILES, ProfileStore
from utils.request_profile import profile_call
from utils.stack_sampler import ThreadClocks, group_of, sample_process

__all__ = ["client", "replay"]

OURS = {"Sec-Fetch-Site": "same-origin"}
STACKS = {("thread a", "f routes/x.py"): 3.0, ("thread a", "f routes/x.py", "g numpy/y.py"): 1.0, ("thread b",): 4.0}


def made(**changes: object) -> Profile:
    values = {"kind": "process", "title": "t", "at_ms": 1_767_225_600_000, "seconds": 8.0, "samples": 9, "idle": 0.5}
    return Profile(**{**values, "stacks": STACKS, "sites": (Site("x.py", 10, 2),), **changes})  # type: ignore[arg-type]


class Turning:
    """A thread that is busy in a function of its own until told to stop."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.spin_here, name="turning-7")

    def spin_here(self) -> None:
        while not self.stop.is_set():
            sum(range(500))


def test_a_sampled_process_shows_its_busy_thread_and_not_those_that_wait() -> None:
    turning, waiting = Turning(), threading.Event()
    sleeper = threading.Thread(target=waiting.wait, name="sleeper")
    turning.thread.start()
    sleeper.start()
    try:
        seen = sample_process(0.4, at_ms=5, stop=threading.Event())
    finally:
        turning.stop.set()
        waiting.set()
        turning.thread.join()
        sleeper.join()
    busy = [stack for stack in seen.stacks if stack[0] == "thread turning"]
    assert busy
    assert any("Turning.spin_here" in name for name in busy[0])
    assert not [stack for stack in seen.stacks if stack[0] == "thread sleeper"]
    assert 0 < seen.idle < 1
    assert seen.samples > 5


def test_without_the_systems_clocks_known_waits_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThreadClocks, "used_s", lambda *_: None)
    waiting = threading.Event()
    sleeper = threading.Thread(target=waiting.wait, name="sleeper")
    sleeper.start()
    try:
        seen = sample_process(0.05, at_ms=5, stop=threading.Event())
    finally:
        waiting.set()
        sleeper.join()
    assert not [stack for stack in seen.stacks if stack[0] == "thread sleeper"]
    assert seen.idle > 0


def test_a_stop_ends_a_recording_early() -> None:
    stop = threading.Event()
    stop.set()
    assert sample_process(30, at_ms=0, stop=stop).seconds < 5
    assert snapshot_memory(30, at_ms=0, stop=stop).kind == "memory"


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("waitress-3", "thread waitress"),
        ("Thread-12 (run)", "thread Thread"),
        ("binance-gateway", "thread binance-gateway"),
    ],
)
def test_threads_of_a_kind_are_drawn_together(name: str, group: str) -> None:
    assert group_of(name) == group


def test_one_call_is_profiled_and_its_answer_kept() -> None:
    def work() -> int:
        return sum(sum(range(2_000)) for _ in range(300))

    answer, seen = profile_call(work, title="work", at_ms=1)
    assert answer == work()
    assert seen.samples >= 3
    ours = sum(weight for stack, weight in seen.stacks.items() if stack[0].startswith("work "))
    assert ours > 0.8 * seen.total, seen.stacks


def test_held_memory_is_found_by_its_line() -> None:
    held: list[bytes] = []
    enough = threading.Event()

    def hold() -> None:
        while not tracemalloc.is_tracing():
            enough.wait(0.001)
        held.extend(bytes(100_000) for _ in range(40))
        enough.set()

    thread = threading.Thread(target=hold)
    thread.start()
    seen = snapshot_memory(60, at_ms=1, stop=enough)
    thread.join()
    assert seen.sites[0].size_bytes >= 4_000_000
    assert seen.sites[0].count >= 40
    assert "test_profiling.py" in seen.sites[0].place
    assert not tracemalloc.is_tracing()


def test_a_profile_comes_back_from_its_bytes_and_damage_is_told() -> None:
    assert from_bytes(to_bytes(made())) == made()
    with pytest.raises(StoreError, match="damaged"):
        from_bytes(b"not gzip")
    with pytest.raises(StoreError, match="damaged"):
        from_bytes(to_bytes(made())[:40])


def test_a_list_tells_what_each_profile_is_of_without_reading_it_whole(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path)
    titles = ['/symbol/BTCUSDT?q="a\\b"', "the whole process for 5.0 s", ""]
    names = [
        store.keep(Profile("process", title, 1_767_225_600_000 + place, 1.0, 1, 0.0, {("a",): 1.0}))
        for place, title in enumerate(titles)
    ]
    assert {one.id: one.title for one in store.stored()} == dict(zip(names, titles, strict=True))
    (tmp_path / f"{names[0]}.json.gz").write_bytes(b"no gzip")
    assert store.stored()[-1].title == ""


def test_stacks_are_bounded() -> None:
    sums = StackSum()
    for number in range(MOST_STACKS + 50):
        sums.add((f"f{number}",), 1.0)
    assert len(sums.stacks) == MOST_STACKS + 1
    assert sums.stacks[OTHERS] == 50
    sums.add(tuple("x" * 500), 1.0)
    assert max(map(len, sums.stacks)) <= 120


def test_folded_text_and_hottest_functions() -> None:
    assert folded(made()).splitlines()[1] == "thread a;f routes/x.py;g numpy/y.py 1000000"
    assert hottest(made(), 2) == [("thread b", 4.0, 4.0), ("f routes/x.py", 3.0, 4.0)]


def test_boxes_are_as_wide_as_their_weight_and_zoom() -> None:
    whole = flame(made(), 0)
    by_name = {box.name: box for box in whole.boxes}
    assert (by_name["all of it"].width, by_name["thread b"].width) == ("100.000%", "50.000%")
    assert (by_name["g numpy/y.py"].width, by_name["g numpy/y.py"].y) == ("12.500%", 60)
    zoomed = flame(made(), by_name["f routes/x.py"].id)
    assert {box.name: box.width for box in zoomed.boxes} == {
        "all of it": "100.000%",
        "thread a": "100.000%",
        "f routes/x.py": "100.000%",
        "g numpy/y.py": "25.000%",
    }
    with pytest.raises(InvalidInput, match=r"at is 999; .* from 0, which is all of it, to \d+$"):
        flame(made(), 999)
    assert tree(made()).weight == 8.0
    assert [look(name) for name in ("thread a", "f routes/x.py", "g numpy/y.py", "h python/lib.py")] == [
        "thread",
        "ours",
        "library",
        "python",
    ]


def test_the_oldest_profiles_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ProfileStore(tmp_path / "profiles")
    names = [store.keep(made(at_ms=1_767_225_600_000 + number)) for number in range(MOST_PROFILES + 2)]
    names.append(store.keep(made(at_ms=1_767_225_600_000 + MOST_PROFILES + 1)))
    assert len(set(names)) == MOST_PROFILES + 3, "two of the same millisecond are two"
    assert [one.id for one in store.stored()] == names[:2:-1]
    assert (tmp_path / "profiles" / f"{names[-1]}.json.gz").stat().st_mode & 0o077 == 0
    monkeypatch.setattr(profile_store, "MOST_BYTES", 2 * store.stored()[0].size_bytes + 10)
    store.keep(made(at_ms=1_767_225_700_000))
    assert len(store.stored()) == 2
    for wrong in ("../../secret_key", "1767225600000-other", "1767225699999-process"):
        with pytest.raises(NotFound):
            store.load(wrong)


def test_there_is_one_recording_at_a_time(tmp_path: Path) -> None:
    recorder = ProfileRecorder(ProfileStore(tmp_path), ManualClock())
    recorder.record("process", 30)
    with pytest.raises(InvalidInput, match="one at a time"):
        recorder.record("memory", 1)
    with pytest.raises(InvalidInput, match="one at a time"):
        recorder.record_call(lambda: 1, "call")
    recorder.close()
    assert recorder.now is None
    assert len(recorder.store.stored()) == 1, "what was seen until then is kept"
    with pytest.raises(InvalidInput, match="1 to 30 s"):
        recorder.record("process", 31)
    assert recorder.record_call(lambda: 7, "call")[0] == 7


def test_of_several_processes_a_recording_names_its_own(tmp_path: Path) -> None:
    clock = ManualClock()
    recorder = ProfileRecorder(ProfileStore(tmp_path), clock, who="worker 2")
    recorder.record("process", 30)
    recorder.close()
    clock.tick(1)
    recorder.record("memory", 30)
    recorder.close()
    clock.tick(1)
    recorder.record_call(lambda: 1, "/symbol/BTCUSDT")
    titles = [one.title for one in recorder.store.stored()]
    assert titles[0] == "/symbol/BTCUSDT, worker 2"
    assert [title.endswith("worker 2") for title in titles] == [True, True, True]


def test_a_recording_that_cannot_be_kept_says_so(tmp_path: Path) -> None:
    (tmp_path / "profiles").write_text("a file where the folder should be")
    recorder = ProfileRecorder(ProfileStore(tmp_path / "profiles"), ManualClock())
    recorder.record("process", 30)
    recorder.close()
    assert "could not be written" in recorder.problem
    assert recorder.now is None


def test_a_full_disk_is_told_as_one_and_nothing_is_left_of_what_did_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = ProfileStore(tmp_path)
    name = store.keep(made(at_ms=1_767_225_600_000))
    with monkeypatch.context() as disk:
        disk.setattr(Path, "replace", full)
        with pytest.raises(FileError, match="No space left on device"):
            store.keep(made(at_ms=1_767_225_700_000))
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.json.gz"]


def test_a_profile_that_the_disk_does_not_let_go_of_is_no_unforeseen_error(
    replay: Replay, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(self: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    name = replay.app.extensions["profiling"].store.keep(made(at_ms=1_767_225_600_000))
    with monkeypatch.context() as disk:
        disk.setattr(Path, "unlink", kept)
        refused = client.post(f"/performance/profiles/{name}/delete", headers=OURS)
    assert refused.status_code == 503
    assert "A file cannot be used" in refused.text
    assert "could not be deleted (Read-only file system)" in refused.text
    assert client.post(f"/performance/profiles/{name}/delete", headers=OURS).status_code == 303


def test_the_operator_records_the_process_and_is_led_to_its_graph(replay: Replay, client: FlaskClient) -> None:
    answer = client.post("/performance/profiles", data={"kind": "process", "seconds": "20"}, headers=OURS)
    assert answer.status_code == 303
    waiting = client.get(answer.headers["Location"])
    assert waiting.headers["Refresh"] == "1"
    assert client.get("/performance/profiles").headers["Location"] == answer.headers["Location"]
    assert "Recording process" in re.sub(r"<[^>]+>", "", waiting.text)
    again = client.post("/performance/profiles", data={"kind": "memory"}, headers=OURS)
    assert again.status_code == 400
    replay.app.extensions["profiling"].close()
    led = client.get(answer.headers["Location"])
    assert led.status_code == 303
    shown = client.get(led.headers["Location"])
    assert shown.status_code == 200
    for given, fits in (("x", "&#39;x&#39;; use a whole number"), ("-1", "&#39;-1&#39;; use"), ("9999999", "boxes")):
        refused = client.get(led.headers["Location"], query_string={"at": given})
        assert (refused.status_code, fits in refused.text) == (400, True), given
    for name in ("after", "until"):
        refused = client.get("/performance/profiles/wait", query_string={name: "yesterday"})
        assert refused.status_code == 400
        assert f"{name.title()} is &#39;yesterday&#39;; use a whole number" in refused.text
    assert '<svg class="flame"' in shown.text
    assert client.get(f"{led.headers['Location']}.folded").mimetype == "text/plain"
    assert client.post(f"{led.headers['Location']}/delete", headers=OURS).status_code == 303
    assert client.get(led.headers["Location"]).status_code == 404


def test_a_page_asked_with_profile_1_is_made_anew_and_not_kept(replay: Replay, client: FlaskClient) -> None:
    pages = replay.app.extensions["services"].pages
    client.get("/symbol/BTCUSDT")
    before = pages.stats()
    answer = client.get("/symbol/BTCUSDT?profile=1")
    assert answer.status_code == 303
    graph = client.get(answer.headers["Location"]).text
    assert "symbol_page routes/symbol_page.py" in graph
    assert pages.stats().renders == before.renders + 1
    assert pages.stats().entries == before.entries
    assert client.get("/symbol/BTCUSDT?profile=1").status_code == 303, "nor is the answer stored for the address"
    assert client.get("/symbol/NOPEUSDT?profile=1").status_code == 404
    wrong = client.get("/symbol/BTCUSDT?profile=10")
    assert wrong.status_code == 400
    assert "Profile is &#39;10&#39;; use profile=1" in wrong.text
    for bad in ({"kind": "everything"}, {"seconds": "soon"}, {"seconds": "31"}, {"seconds": "nan"}):
        assert client.post("/performance/profiles", data=bad, headers=OURS).status_code == 400


@pytest.mark.parametrize(
    "stranger",
    [
        {"environ_base": {"REMOTE_ADDR": "192.168.1.7"}},
        {"headers": {"Host": "dashboard.example"}},
        {"headers": {"Sec-Fetch-Site": "cross-site"}},
        {"headers": {"X-Forwarded-For": "203.0.113.7"}},
    ],
    ids=["another machine", "behind a proxy", "another site", "handed on"],
)
def test_nobody_else_looks_inside(strange: Flask, stranger: dict[str, Any]) -> None:
    client = strange.test_client()
    for path in ("/performance/profiles", "/health?profile=1", "/performance/profiles/1767225600000-process"):
        assert client.get(path, **stranger).status_code == 403, path
    assert client.post("/performance/profiles", **stranger).status_code == 403
    assert strange.extensions["profiling"].store.stored() == ()


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    hosts = "127.0.0.1,localhost,dashboard.example"
    with whole_app(tmp_path_factory.mktemp("strange"), trusted_hosts=hosts) as app:
        yield app


def test_with_a_password_the_login_decides(tmp_path: Path) -> None:
    with whole_app(tmp_path, dashboard_password="correct horse") as app:
        client = app.test_client()
        away = {"REMOTE_ADDR": "192.168.1.7"}
        assert client.get("/performance/profiles", environ_base=away).headers["Location"].startswith("/login")
        client.post("/login", data={"password": "correct horse"}, headers=OURS, environ_base=away)
        assert client.get("/performance/profiles", environ_base=away).status_code == 200
