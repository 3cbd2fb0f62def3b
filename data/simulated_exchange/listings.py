"""Listings: which markets the synthetic exchange has, their price levels, steps and ages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from data.simulated_exchange.candle_series import PLAIN, Units
from data.simulated_exchange.hashing import keys_at, named_key, normal, uniform
from data.symbol import Symbol

MAX_SYMBOLS = 500


@dataclass(frozen=True, slots=True)
class Listing:
    """One market as the exchange lists it; steps in 1e-8 of the asset."""

    symbol: str
    base: str
    quote: str
    tick_e8: int
    lot_e8: int
    listed_ms: int
    units: Units = PLAIN
    ended_ms: int | None = None
    status: str = "TRADING"


@dataclass(frozen=True, slots=True)
class Character:
    """How a synthetic coin behaves."""

    price: float
    """the level its price wanders around, in quote"""
    beta: float
    """its share in the common factor"""
    own_volatility: float
    """daily standard deviation of its own log returns"""
    turnover: float
    """mean quote volume of an hour"""


_KNOWN = (
    # base, price, tick, lot, beta, own daily volatility, hourly turnover, listed
    ("BTC", 95_000, "0.01", "0.00001", 0.90, 0.008, 7.5e7, "2017-08-17"),
    ("ETH", 3_300, "0.01", "0.0001", 1.15, 0.016, 4.5e7, "2017-08-17"),
    ("BNB", 650, "0.01", "0.001", 0.90, 0.018, 9.0e6, "2017-11-06"),
    ("SOL", 180, "0.01", "0.001", 1.30, 0.029, 1.8e7, "2020-08-11"),
    ("XRP", 2.2, "0.0001", "0.1", 1.05, 0.030, 1.7e7, "2018-05-04"),
    ("ADA", 0.75, "0.0001", "0.1", 1.20, 0.027, 4.0e6, "2018-04-17"),
    ("DOGE", 0.22, "0.00001", "1", 1.25, 0.034, 8.0e6, "2019-07-05"),
    ("LTC", 95, "0.01", "0.001", 1.05, 0.024, 2.5e6, "2017-12-13"),
    ("LINK", 17, "0.01", "0.01", 1.20, 0.030, 2.6e6, "2019-01-16"),
    ("TRX", 0.28, "0.0001", "0.1", 0.80, 0.022, 2.5e6, "2018-06-11"),
    ("AVAX", 28, "0.01", "0.01", 1.30, 0.032, 2.4e6, "2020-09-22"),
    ("DOT", 5.0, "0.001", "0.01", 1.20, 0.028, 1.8e6, "2020-08-18"),
    ("BCH", 480, "0.1", "0.001", 1.10, 0.028, 1.6e6, "2019-11-28"),
    ("XLM", 0.32, "0.0001", "1", 1.10, 0.030, 1.5e6, "2018-05-31"),
    ("UNI", 9.0, "0.001", "0.01", 1.25, 0.034, 1.5e6, "2020-09-17"),
    ("ATOM", 5.5, "0.001", "0.01", 1.15, 0.030, 1.2e6, "2019-04-29"),
    ("ETC", 22, "0.01", "0.01", 1.15, 0.030, 1.1e6, "2018-06-12"),
    ("FIL", 4.0, "0.001", "0.01", 1.25, 0.033, 1.1e6, "2020-10-15"),
    ("NEAR", 3.5, "0.001", "0.1", 1.30, 0.035, 1.4e6, "2020-10-14"),
    ("AAVE", 260, "0.01", "0.001", 1.25, 0.036, 1.3e6, "2020-10-15"),
)
_HEADS = [
    "AL",
    "AR",
    "BO",
    "CE",
    "DA",
    "EL",
    "FU",
    "GI",
    "HE",
    "IN",
    "JO",
    "KA",
    "LU",
    "MO",
    "NE",
    "OR",
    "PA",
    "QU",
    "RE",
    "SO",
]
_TAILS = [
    "BIT",
    "CA",
    "DEX",
    "FI",
    "GEN",
    "KO",
    "LAR",
    "MIX",
    "NA",
    "NODE",
    "PAY",
    "RA",
    "SWAP",
    "TA",
    "TOR",
    "VAL",
    "VERSE",
    "X",
    "YA",
    "ZEN",
]


def default_names(count: int) -> list[str]:
    """The first `count` markets: the well-known ones, then invented ones."""
    bases = [row[0] for row in _KNOWN[:count]] + _invented()[: max(0, count - len(_KNOWN))]
    return [base + "USDT" for base in bases]


def listings(seed: int, names: Sequence[str]) -> dict[str, tuple[Listing, Character]]:
    """These markets; the path of none depends on which others there are. A name that is not known is invented."""
    known = {row[0] + "USDT": row for row in _KNOWN}
    return {name: _known(*known[name]) if name in known else _invent(seed, Symbol(name)) for name in names}


def _known(
    base: str, price: float, tick: str, lot: str, beta: float, own: float, turnover: float, listed: str
) -> tuple[Listing, Character]:
    character = Character(float(price), beta, own, turnover)
    return _listing(base, "USDT", _e8(tick), _e8(lot), listed), character


def _listing(base: str, quote: str, tick_e8: int, lot_e8: int, listed: str) -> Listing:
    listed_ms = round(datetime.fromisoformat(listed).replace(tzinfo=UTC).timestamp() * 1000)
    units = Units(tick_e8, lot_e8, tick_e8 * lot_e8 // 100_000_000)
    return Listing(base + quote, base, quote, tick_e8, lot_e8, listed_ms, units)


def _e8(step: str) -> int:
    return round(float(step) * 1e8)


def _invented() -> list[str]:
    """Names in a fixed order that mixes heads and tails; none is a known coin's."""
    known = {row[0] for row in _KNOWN}
    pairs = [(tail + shift) % len(_TAILS) for shift in range(len(_TAILS)) for tail in range(len(_HEADS))]
    names = [_HEADS[index % len(_HEADS)] + _TAILS[pair] for index, pair in enumerate(pairs)]
    names += [f"{name}{number}" for number in (2, 3) for name in names[:100]]
    return [name for name in dict.fromkeys(names) if name not in known]


def _invent(seed: int, symbol: Symbol) -> tuple[Listing, Character]:
    base, quote = symbol.pair
    keys = keys_at(named_key(seed, "coin", base), np.arange(8))
    level, size, spread = normal(keys)[:3].tolist()
    lean, age = uniform(keys)[3:5].tolist()
    price = float(np.exp(-0.3 + 1.6 * level))
    tick_e8 = 10 ** int(np.clip(np.floor(np.log10(price * 1e8)) - 3, 0, 6))
    lot_e8 = 100_000_000 if price < 0.5 else 10_000_000 if price < 5 else 1_000_000
    listed = datetime.fromtimestamp(1_570_000_000 + age * 140_000_000, UTC).date().isoformat()
    own = float(np.clip(0.035 * np.exp(0.25 * spread), 0.02, 0.07))
    turnover = float(2.0e5 * np.exp(0.9 * size))
    tick_e8 = max(tick_e8, 10 if lot_e8 < 100_000_000 else 1)
    return _listing(base, quote, tick_e8, lot_e8, listed), Character(price, 0.8 + 0.7 * lean, own, turnover)
