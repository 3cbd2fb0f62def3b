"""Alert delivery: through Apprise to a real webhook, a real mail server and Telegram's own address turned here."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from data.alert_store import AlertStore
from data.database import Database, connect
from tests.support.alerting import mail_server, receiver
from utils.alert_delivery import PAUSES_S, Courier, Target, secrets_in, target_of
from utils.alert_send import Message, check, deliver, send
from utils.clock import ManualClock

TOKEN = "123456789:AAcanaryTelegramTokenNobodyMaySee"
SECRETS = (
    "jsons://canary-user:canary-password@hooks.example/canary-path-piece?+X-Key=canary-header",
    f"tgram://{TOKEN}/987654321/",
    "mailtos://canary-user:canary-password@mail.example?to=canary@people.example",
    "slack://canaryTokenA/canaryTokenB/canaryTokenC",
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = connect(f"sqlite:///{tmp_path / 'alerts.db'}")
    yield made
    made.close()


class Failing:
    """A sender that answers the next of `problems`."""

    def __init__(self, *problems: str) -> None:
        self.problems = list(problems)
        self.batches: list[list[Message]] = []

    def __call__(self, messages: Sequence[Message]) -> list[str]:
        self.batches.append(list(messages))
        return [self.problems.pop(0) if self.problems else "" for _ in messages]


def test_webhook_and_mail_arrive_through_the_senders_own_process() -> None:
    with receiver() as hook, mail_server() as (smtp, mails):
        problems = send(
            [
                Message(f"json://{hook.url}/hook", "Title → 1", "Body\nof two lines"),
                Message(
                    f"mailto://{smtp}?from=dash@desk.example&to=me@desk.example&format=text", "Title 2", "Mail body"
                ),
                Message(f"json://{hook.url}/hook", "Title 3", "Third"),
            ]
        )
        assert problems == ["", "", ""]
        (path, first), (_, third) = hook.requests
        assert path == "/hook"
        assert (first["title"], first["message"]) == ("Title → 1", "Body\nof two lines")
        assert third["title"] == "Title 3"
        (mail,) = mails
        assert mail["Subject"] == "Title 2"
        assert "me@desk.example" in str(mail["To"])
        assert "Mail body" in str(mail)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # the library's own, on Python 3.11
def test_telegram_gets_what_its_interface_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from apprise.plugins.telegram import NotifyTelegram

    with receiver() as telegram:
        monkeypatch.setattr(NotifyTelegram, "notify_url", f"http://{telegram.url}/bot")
        assert deliver(Message(f"tgram://{TOKEN}/987654321/", "Slow page: /symbol/<symbol>", "Now: 420 ms")) == ""
        sent = [(path, body) for path, body in telegram.requests if path.endswith("/sendMessage")]
        ((path, body),) = sent
        assert path == f"/bot{TOKEN}/sendMessage"
        assert str(body["chat_id"]) == "987654321"
        assert "Slow page" in body["text"]
        assert "&lt;symbol&gt;" in body["text"], "Telegram reads the text as HTML"
        assert "420 ms" in body["text"]


def test_what_goes_wrong_is_told_per_message() -> None:
    with receiver() as hook:
        hook.statuses[:] = [500]
        problems = send(
            [
                Message(f"json://{hook.url}/a", "t", "b"),
                Message(f"json://{hook.url}/b", "t", "b"),
                Message("nosuchservice://x", "t", "b"),
                Message("json://127.0.0.1:9/closed", "t", "b"),
            ]
        )
    assert "500" in problems[0]
    assert problems[1] == ""
    assert "does not understand" in problems[2]
    assert problems[3] != ""


def test_a_sender_without_an_answer_is_ended() -> None:
    (problem,) = send([Message("json://127.0.0.1:9/x", "t", "b")], deadline_s=0.01)
    assert problem == "no answer within 0.01 s"


def test_the_serving_process_never_loads_the_library() -> None:
    import subprocess
    import sys

    program = (
        "import sys; from utils.alert_send import Message, send; "
        "send([Message('nosuchservice://x', 't', 'b')]); import routes.alerts; print('apprise' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_failures_are_tried_again_with_growing_pauses_until_given_up(database: Database) -> None:
    clock, store = ManualClock(), AlertStore(database)
    failing = Failing(*["the service is away"] * 20)
    courier = Courier(store=store, targets=["json://there/x"], send=failing, clock=clock)
    assert courier.announce("Title", "Body", kind="raised", alert=1) == 1
    for number, pause_s in enumerate((0.0, *PAUSES_S), start=1):
        if pause_s:
            clock.tick(pause_s - 1)
            assert courier.deliver_due() == 0
            assert len(failing.batches) == number - 1, "not before its time"
            clock.tick(1)
        courier.deliver_due()
        assert len(failing.batches) == number
        (one,) = store.deliveries(5)
        assert (one.attempts, one.problem) == (number, "the service is away")
    assert one.state == "given up"
    clock.tick(1e6)
    courier.deliver_due()
    assert len(failing.batches) == len(PAUSES_S) + 1


def test_one_target_that_fails_does_not_hold_up_another_and_arrives_in_the_end(database: Database) -> None:
    clock, store = ManualClock(), AlertStore(database)
    sender = Failing("refused", "")
    courier = Courier(store=store, targets=["json://first/x", "json://second/x"], send=sender, clock=clock)
    courier.announce("Title", "Body", kind="raised", alert=None)
    assert courier.deliver_due() == 1
    assert [one.state for one in store.deliveries(5)] == ["sent", "waiting"]
    clock.tick(PAUSES_S[0])
    assert courier.deliver_due() == 1
    assert [message.url for message in sender.batches[1]] == ["json://first/x"]
    assert {one.state for one in store.deliveries(5)} == {"sent"}
    assert [one.problem for one in store.deliveries(5)] == ["", ""]


def test_what_waits_survives_a_restart_and_is_sent_by_one_process_alone(database: Database) -> None:
    clock, store, sender = ManualClock(), AlertStore(database), Failing()
    Courier(store=store, targets=["json://there/x"], send=sender, clock=clock).announce(
        "T", "B", kind="test", alert=None
    )
    claimed = AlertStore(database).claim_due(clock.now_ms(), clock.now_ms() + 90_000, 10)
    assert len(claimed) == 1
    courier = Courier(store=AlertStore(database), targets=["json://there/x"], send=sender, clock=clock)
    assert courier.deliver_due() == 0, "another process is at it"
    clock.tick(90)
    assert courier.deliver_due() == 1, "which has died"


def test_a_target_that_was_taken_away_is_given_up(database: Database) -> None:
    clock, store, sender = ManualClock(), AlertStore(database), Failing()
    Courier(store=store, targets=["json://old/x"], send=sender, clock=clock).announce("T", "B", kind="test", alert=None)
    Courier(store=store, targets=["json://new/x"], send=sender, clock=clock).deliver_due()
    (one,) = store.deliveries(5)
    assert (one.state, one.problem) == ("given up", "this target is no longer in ALERT_TARGETS")
    assert sender.batches == []


def test_an_address_that_nobody_understands_is_not_tried_again(database: Database) -> None:
    store = AlertStore(database)
    courier = Courier(store=store, targets=["nosuchservice://x"], send=send, clock=ManualClock())
    courier.announce("T", "B", kind="test", alert=None)
    assert courier.deliver_due() == 0
    (one,) = store.deliveries(5)
    assert (one.state, one.attempts) == ("given up", 1)
    assert "does not understand this address; see its documentation for what fits" in one.problem


def test_addresses_are_checked_once_without_sending_and_told_without_secrets(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = "nosuchservice://canary-token/canary-path"
    sender, asked = Failing(), []

    def looked(addresses: Sequence[str]) -> list[str]:
        asked.append(list(addresses))
        return check(addresses)

    courier = Courier(
        store=AlertStore(database), targets=[*SECRETS, unknown], send=sender, clock=ManualClock(), check=looked
    )
    with caplog.at_level(logging.WARNING):
        courier.check_targets()
        courier.check_targets()
    assert asked == [[*SECRETS, unknown]]
    assert courier.unknown == {target_of(unknown).key}
    assert not sender.batches
    assert "does not understand" in caplog.text
    assert "nosuchservice://" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize("url", SECRETS)
def test_no_secret_is_shown_logged_or_stored(url: str, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    def answer(messages: Sequence[Message]) -> list[str]:
        told = f"cannot reach {url}: " + " ".join(f"[{secret}]" for secret in secrets_in(url))
        return [told for _ in messages]

    store = AlertStore(database)
    courier = Courier(store=store, targets=[url], send=answer, clock=ManualClock())
    courier.announce("T", "B", kind="test", alert=None)
    with caplog.at_level(logging.DEBUG):
        courier.deliver_due()
    with database.read() as connection:
        stored = str(connection.exec_driver_sql("SELECT * FROM alert_deliveries").all())
    assert "not delivered" in caplog.text
    for text in (caplog.text, stored, repr(courier.targets), courier.targets[0].label):
        assert "canary" not in text.lower()
        assert TOKEN not in text
        assert TOKEN.split(":")[1] not in text
        assert "987654321" not in text


def test_labels_tell_targets_apart() -> None:
    first, second = target_of("json://host/a"), target_of("json://host/b")
    assert first.label.startswith("Webhook json://host (")
    assert first.label != second.label
    assert target_of(f"tgram://{TOKEN}/1").label.startswith("Telegram tgram://•••• (")
    assert target_of("mailtos://u:p@mail.example").label.startswith("E-mail mailtos://mail.example (")
    assert target_of("discord://id/token").label.startswith("discord discord://•••• (")
    assert isinstance(first, Target)
