"""Entry ages: the middle one and the oldest, and none of an empty cache."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from utils.entry_ages import EntryAges, entry_ages


def test_an_empty_cache_has_none() -> None:
    assert entry_ages([], 10.0) == EntryAges(None, None)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=20))
def test_half_of_the_entries_are_no_older_than_the_median(made: list[int]) -> None:
    ages = entry_ages([float(at) for at in made], 100.0)
    assert ages.oldest_s == 100 - min(made)
    assert ages.median_s is not None
    assert sum(100 - at <= ages.median_s for at in made) * 2 >= len(made)
    assert sum(100 - at >= ages.median_s for at in made) * 2 >= len(made)
