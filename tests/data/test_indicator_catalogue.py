"""The catalogue of indicators: complete, computed by both engines, explained on its page, read in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from data.data_processor import (
    engine_families,
    engine_name,
)
from data.indicator_catalogue import BY_NAME, CATALOGUE, NAMES
from data.indicator_docs import PAGE, rewritten, table

ROOT = Path(__file__).resolve().parents[2]
ENGINES = ("talib", "ta")


def run_alone(code: str) -> None:
    """In a Python of its own, where a warning is an error and nothing is imported yet."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_serving_process_never_sees_pandas() -> None:
    code = (
        "import sys, threading\n"
        "from data.data_processor import engine_name\n"
        "assert engine_name() == 'talib'\n"
        "assert not {'pandas', 'polars', 'scipy', 'ta'} & set(sys.modules), sorted(sys.modules)\n"
        "import pandas\n"
        "assert all(type(finder).__name__ != '_NotHere' for finder in sys.meta_path)\n"
    )
    run_alone(code)


def test_without_talib_the_engine_is_ta() -> None:
    code = (
        "import sys\n"
        "sys.modules['talib'] = None\n"
        "from data.data_processor import compute_indicators, engine_name\n"
        "from tests.support.made_candles import made_candles\n"
        "assert engine_name() == 'ta'\n"
        "columns = compute_indicators(made_candles(300)).columns\n"
        "import numpy\n"
        "assert numpy.isfinite(columns[:, 250:]).all()\n"
    )
    run_alone(code)


def test_both_engines_compute_the_whole_catalogue() -> None:
    assert len(NAMES) == len(set(NAMES)) >= 30
    for engine in ENGINES:
        computed = [name for family in engine_families(engine) for name in family]
        assert sorted(computed) == sorted(NAMES)
    assert engine_name() == "talib"


def test_the_page_of_docs_is_made_from_the_catalogue() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert table() in page, "run python -m data.indicator_docs"
    assert rewritten(page) == page


def test_the_catalogue_is_complete() -> None:
    for indicator in CATALOGUE:
        assert indicator.title
        assert indicator.help.endswith(".")
        assert len(indicator.help) > 30
        assert indicator.group in ("trend", "momentum", "volatility", "volume")
        assert indicator.unit in ("price", "percent", "fraction", "volume", "sigmas", "index")
        assert indicator.pane == "price" or indicator.name.startswith(
            (indicator.pane, "plus_di", "minus_di", "williams")
        )
        assert isinstance(indicator.reading(1.0, 2.0), str)
        assert indicator.reading(float("nan"), 2.0) == ""


@pytest.mark.parametrize(
    ("name", "value", "close", "words"),
    [
        ("rsi_14", 72.0, 1.0, "overbought"),
        ("rsi_14", 50.0, 1.0, "neutral"),
        ("rsi_14", 12.0, 1.0, "oversold"),
        ("williams_r_14", -5.0, 1.0, "overbought"),
        ("sma_200", 90.0, 100.0, "price above"),
        ("sma_200", 110.0, 100.0, "price below"),
        ("bollinger_upper_20", 99.0, 100.0, "above the band"),
        ("bollinger_lower_20", 101.0, 100.0, "below the band"),
        ("bollinger_lower_20", 99.0, 100.0, "inside"),
        ("adx_14", 60.0, 1.0, "strong trend"),
        ("adx_14", 10.0, 1.0, "no trend"),
        ("macd_histogram_12_26_9", -1.0, 1.0, "falling momentum"),
        ("aroon_up_25", 100.0, 1.0, "fresh extreme"),
        ("volume_zscore_20", 3.0, 1.0, "unusually busy"),
        ("obv", 3.0, 1.0, ""),
    ],
)
def test_readings_in_words(name: str, value: float, close: float, words: str) -> None:
    assert BY_NAME[name].reading(value, close) == words
