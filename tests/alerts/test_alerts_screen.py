"""The alerts page in a real Chromium: both themes, wide and on a phone, without findings, and usable without script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from routes import alerts
from tests.support.alerting import FORM, OURS, equip
from tests.support.browser import launch, replayed_app, served

pytestmark = pytest.mark.browser


@dataclass
class Site:
    address: str
    browser: Browser
    watch: alerts.Watch


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With rules in every state, a history, and messages that were sent or wait."""
    with replayed_app(tmp_path_factory.mktemp("alerts"), ("BTCUSDT", "ETHUSDT")) as replay:
        watch = equip(
            replay.app,
            targets=("json://hook.example/x", "tgram://123456789:AAcanaryTelegramTokenNobodyMaySee/987654321/"),
            send=lambda messages: ["" if one.url.startswith("json") else "refused: 401" for one in messages],
        )
        client = replay.app.test_client()
        client.post("/alerts/rules", data=FORM | {"reading": "feed_age_s", "threshold": "60"}, headers=OURS)
        client.post("/alerts/rules/error-rate", data={"action": "disable"}, headers=OURS)
        replay.clock.tick(61)
        watch.alerts.check()
        watch.courier.deliver_due()
        with served(replay.app) as address, sync_playwright() as playwright:
            browser = launch(playwright)
            yield Site(address, browser, watch)
            browser.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1440), ("light", 390)])
def test_there_is_nothing_to_find_fault_with(site: Site, scheme: str, width: int) -> None:
    context = site.browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    context.set_default_timeout(120_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.goto(f"{site.address}/alerts")
    for word in ("raised", "pending", "switched off", "waiting", "sent", "refused: 401"):
        assert page.get_by_text(word).first.is_visible(), word
    findings = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in findings] == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, "nothing sticks out sideways"
    assert complaints == []
    context.close()


def test_a_rule_is_added_and_removed_without_script(site: Site) -> None:
    context = site.browser.new_context(java_script_enabled=False)
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(f"{site.address}/alerts")
    page.get_by_label("Threshold, in its unit").fill("much")
    page.get_by_label("Title").fill("By hand")
    page.get_by_role("button", name="Add the rule").click()
    assert "threshold is 'much'" in page.get_by_role("main").inner_text()
    assert page.get_by_label("Title").input_value() == "By hand"
    page.get_by_label("Threshold, in its unit").fill("12.5")
    page.get_by_role("button", name="Add the rule").click()
    assert "p95 of a route above 12.5 ms for 5 min" in page.get_by_role("main").inner_text()
    assert not page.get_by_role("button", name="Yes, remove By hand").is_visible(), "one slip removes nothing"
    page.locator("summary[aria-label^='Remove By hand']").click()
    page.get_by_role("button", name="Yes, remove By hand").click()
    assert "By hand" not in page.get_by_role("main").inner_text()
    assert "by-hand" not in [rule.key for rule in site.watch.store.rules()]
    context.close()


def test_it_renews_itself_and_leaves_alone_what_is_opened_or_typed(site: Site) -> None:
    context = site.browser.new_context()
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.clock.install()
    page.goto(f"{site.address}/alerts")
    page.get_by_label("Title").fill("Half typed")
    page.locator("#ask-cache-hit-rate").click()
    site.watch.store.set_enabled("memory-short", enabled=False)
    page.clock.run_for(5_500)
    page.get_by_role("button", name="Switch on Memory is short").wait_for()
    assert page.get_by_label("Title").input_value() == "Half typed"
    assert page.locator("#remove-cache-hit-rate").is_visible(), "what asks for confirmation stays open"
    assert page.evaluate("document.activeElement.id") == "ask-cache-hit-rate"
    context.close()
