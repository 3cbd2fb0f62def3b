"""Codecs: what goes out comes back the same, what cannot stays, and broken bytes are refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.candle_codec import CANDLE_CODEC
from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from tests.support.made_candles import made_candles
from utils.cache_codecs import Codecs, key_of, key_text

CODECS = Codecs(CANDLE_CODEC)

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**52), 2**52)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN | st.binary())
def test_plain_values_and_bytes_come_back_the_same(value: object) -> None:
    content = CODECS.encode(value)
    assert content is not None
    back = CODECS.decode(content)
    assert (back, repr(back)) == (value, repr(value))


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_candles_come_back_bit_for_bit(rows: int) -> None:
    candles = made_candles(1000, without=(5, 6)).slice(0, rows)
    content = CODECS.encode(candles)
    assert content is not None
    assert len(content) < rows * 80 + 200
    back: Candles = CODECS.decode(content)
    assert back.digest == candles.digest
    assert (type(back.symbol), type(back.interval)) == (Symbol, Interval)
    assert not back.close.flags.writeable


@pytest.mark.parametrize(
    "value",
    [(1, 2), {1: "a"}, [(1,)], math.nan, {"a": math.inf}, 2**60, {1, 2}, Symbol("BTCUSDT"), object(), bytearray(b"x")],
)
def test_what_would_not_come_back_the_same_stays(value: object) -> None:
    assert CODECS.encode(value) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-8],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content.replace(b"BTCUSDT", b"ETHUSDT"),
        lambda content: content.replace(b'"1h"', b'"9h"'),
        lambda content: content.replace(b"candles-1", b"candles-9"),
        lambda content: b"json\n{",
        lambda content: b"",
    ],
)
def test_broken_bytes_are_refused(change: Any) -> None:
    content = CODECS.encode(made_candles(20))
    assert content is not None
    with pytest.raises(ValueError, match=r"candles|codec|unexpected|EOF"):
        CODECS.decode(change(content))


@pytest.mark.parametrize("key", ["a", ("candles", Symbol("BTCUSDT"), Interval.H1), ("x", 1, None), ("é\n", -5), ()])
def test_a_key_comes_back_equal_and_with_the_same_hash(key: Any) -> None:
    text = key_text(key)
    assert text is not None
    assert (key_of(text), hash(key_of(text))) == (key, hash(key))


@pytest.mark.parametrize("key", [("a", 1.5), ("a", ("b",)), b"x", ("a", True), "x" * 500, frozenset("a"), ("a", 2**60)])
def test_other_keys_have_no_text(key: Any) -> None:
    assert key_text(key) is None
