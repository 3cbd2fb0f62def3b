"""Training in the browser: a quick model to its end, watched, promoted and rolled back; another one cancelled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from data.interval import Interval
from models.jobs import JobState
from models.model_writing import write_model
from tests.support import tiny_model
from tests.support.browser import launch, served
from tests.support.workbench import Bench, bench

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATIENCE_MS = 120_000
WIDE, PHONE = (1440, 900), (390, 844)


@dataclass
class Site:
    address: str
    bench: Bench
    browser: Browser

    def open(self, path: str, size: tuple[int, int] = WIDE, scheme: str = "dark", *, script: bool = True) -> Page:
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=script,
        )
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(str(error)))
        page.goto(self.address + path)
        return page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("training")
    for name in ("before", "beside"):
        spec = tiny_model.spec(name, created_ms=tiny_model.START_MS + (name == "before"))
        write_model(folder / "models", spec, tiny_model.graph(spec, seed=len(name)), {"data": {"gap_candles": 48}})
    with bench(folder) as built, served(built.app) as address, sync_playwright() as playwright:
        built.runner.start()
        browser = launch(playwright)
        yield Site(address, built, browser)
        browser.close()
        for job in built.runner.jobs.within(JobState.QUEUED, JobState.RUNNING):
            built.runner.cancel(job.id)


def fill(page: Page, **fields: str) -> None:
    """Nothing is fetched: no exchange is there."""
    page.fill("#from", "")
    for name, value in fields.items():
        page.fill(f"#{name}", value)


def test_a_quick_model_from_the_form_to_serving_and_back(site: Site) -> None:
    page = site.open("/models/train")
    page.click("text=Standard")
    expect(page.locator("#units")).to_have_value("32")
    page.click("text=Quick")
    expect(page.locator("#units")).to_have_value("8")
    fill(page, window="4", units="2", epochs="0", batch_size="64", stride="1", patience="100", model_id="browsed")
    page.click("button.primary")
    expect(page.locator(".problem")).to_have_text("epochs is 0; use 1 to 500")
    expect(page.locator("#model_id")).to_have_value("browsed")
    fill(page, epochs="6")
    page.click("button.primary")
    page.wait_for_url(re.compile(r"/models/train/\d+$"))
    expect(page.locator("h1")).to_contain_text("browsed")
    expect(page.locator(".state")).to_have_text(re.compile("running"), timeout=PATIENCE_MS)
    expect(page.locator("#job figure.loss")).to_have_count(2, timeout=PATIENCE_MS)
    expect(page.locator("#live")).to_have_attribute("data-live", "live")
    expect(page.locator(".state")).to_have_text(re.compile("done"), timeout=PATIENCE_MS)
    expect(page.locator(".told")).to_contain_text("skill")
    page.click("text=See the model")
    expect(page.locator("h1")).to_have_text("browsed")
    assert page.locator("figure.loss").count() == 2
    assert served_by(site) == "before", "a model that was merely trained does not serve"
    page.click("text=Promote")
    expect(page.locator(".serving")).to_contain_text("browsed")
    assert served_by(site) == "browsed"
    page.click("text=Roll back to before")
    expect(page.locator(".serving a").first).to_have_text("before")
    assert served_by(site) == "before"
    page.context.close()


def test_a_running_training_is_cancelled_with_a_click(site: Site) -> None:
    page = site.open("/models/train", PHONE, "light")
    fill(page, window="4", units="2", epochs="500", batch_size="64", stride="1", patience="100", model_id="endless")
    page.click("button.primary")
    expect(page.locator("#job figure.loss").first).to_be_visible(timeout=PATIENCE_MS)
    width: int = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE[0]
    page.click("text=Cancel")
    expect(page.locator(".state")).to_have_text(re.compile(r"cancelled"), timeout=PATIENCE_MS)
    assert not (site.bench.models / "endless").exists()
    page.context.close()


def test_the_leak_test_is_a_button_and_its_result_is_on_the_card(site: Site) -> None:
    page = site.open("/models/before")
    page.click("[aria-label='Run: Leak test']")
    page.wait_for_url(re.compile(r"/models/train/\d+$"))
    expect(page.locator("h1")).to_contain_text("Leak test of before")
    expect(page.locator(".state")).to_have_text(re.compile("done"), timeout=PATIENCE_MS)
    page.click("text=See the model")
    leaks = page.locator("section.check").first
    expect(leaks.locator(".card-head .state")).to_contain_text("no leak")
    expect(leaks).to_contain_text("planted leaks caught")
    page.click("summary")
    expect(leaks.locator(".checks li").first).to_be_visible()
    page.context.close()


def test_without_script_the_form_and_the_buttons_still_work(site: Site) -> None:
    page = site.open("/models/train", script=False)
    fill(page, window="4", units="2", epochs="500", batch_size="64", stride="1", patience="100", model_id="plain")
    page.click("button.primary")
    expect(page.locator("h1")).to_contain_text("plain")
    assert "refresh" in page.content()
    page.click("text=Cancel")
    expect(page.locator(".state")).to_have_text(re.compile("cancelled"))
    page.context.close()


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (PHONE, "dark")], ids=["wide-light", "phone-dark"])
@pytest.mark.parametrize("path", ["/models", "/models/before", "/models/train"])
def test_no_serious_barrier_and_nothing_too_wide(site: Site, path: str, size: tuple[int, int], scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = site.browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
        bypass_csp=True,
    )
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(site.address + path)
    width: int = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
    answer = Axe().run(page).response
    assert len(answer["passes"]) > 10, "axe looked at nothing"
    serious = [
        (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
        for one in answer["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    context.close()


def test_an_ensemble_is_made_promoted_and_rolled_back(site: Site) -> None:
    """By clicks alone; what the market's page says of it is asked without a script."""
    promotion = site.bench.services.promotion
    before = served_by(site)
    page = site.open("/models")
    for one in page.locator("form.mix input[type=checkbox]").all():
        one.check()
    page.fill("#mix-name", "together")
    page.click("text=Make an ensemble")
    expect(page.locator("h1")).to_have_text("together")
    expect(page.locator(".headline .state")).to_have_text("challenger for 1h")
    page.click("text=Promote")
    expect(page.locator(".serving")).to_contain_text("together an ensemble, chosen")
    assert promotion.champions.of(Interval.H1).id == "together"
    told = site.open("/symbol/BTCUSDT", script=False).locator("#rail")
    expect(told).to_contain_text("An ensemble: ")
    expect(told).to_contain_text("together (champion, an ensemble)")
    page.click(f"text=Roll back to {before}")
    expect(page.locator(".serving")).to_contain_text(before)
    assert served_by(site) == promotion.champions.of(Interval.H1).id == before
    page.click("[aria-label='Archive together']")
    expect(page.locator("#ensembles")).to_contain_text("archived")
    page.context.close()


def served_by(site: Site) -> str:
    entry = site.bench.services.registry.default(Interval.H1)
    assert entry is not None
    return str(entry.id)
