"""`make screenshots`: the pictures of the README, taken of the real program while it replays real candles."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.support.browser import launch
from tests.support.running_app import ROOT, running_app

PICTURES = ROOT / "docs" / "screenshots"
_KLINES = ROOT.parent / "shared" / "klines"
_SYMBOLS = "BTCUSDT,ETHUSDT,BNBUSDT,SOLUSDT,XRPUSDT,ADAUSDT,DOGEUSDT,TRXUSDT,LINKUSDT,LTCUSDT"
_PAGES = {
    "overview": "/",
    "symbol": "/symbol/BTCUSDT",
    "forecasts": "/forecasts",
    "models": "/models",
    "performance": "/performance",
}
_SIZES = {1440: 900, 390: 844}


def take(page: Page, address: str, name: str, path: Path) -> None:
    page.goto(address + _PAGES[name])
    if name == "symbol":
        page.wait_for_selector("#chart.drawn")
    page.wait_for_timeout(600)  # fonts and the first live update
    page.screenshot(path=path)


def main(folder: Path = PICTURES) -> int:
    """Every page, at two widths, in both themes."""
    if not _KLINES.is_dir():
        sys.stderr.write(f"{_KLINES} is missing: a folder of SYMBOL-INTERVAL.parquet candles is needed\n")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"SYMBOLS": _SYMBOLS, "INTERVALS": "1h,1d", "SIMULATED_REPLAY_PATH": str(_KLINES)}
    with (
        tempfile.TemporaryDirectory() as place,
        running_app(Path(place), **settings) as app,
        sync_playwright() as playwright,
    ):
        app.wait_until_ready()
        browser = launch(playwright)
        for width, height in _SIZES.items():
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                page.set_default_timeout(120_000)
                for name in _PAGES:
                    take(page, app.address, name, folder / f"{name}-{scheme}-{width}.png")
                page.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
