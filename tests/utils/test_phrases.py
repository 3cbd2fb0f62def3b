"""Phrases: singular and plural, and lists that say how much of them is left out."""

from __future__ import annotations

import pytest

from utils.phrases import counted, some


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 markets"), (1, "1 market"), (2, "2 markets"), (2300, "2,300 markets")]
)
def test_a_number_and_its_noun(number: int, text: str) -> None:
    assert counted(number, "market") == text


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a, b"), (["a", "b", "c"], "a, b and 1 more")]
)
def test_a_list_is_cut_short(names: list[str], text: str) -> None:
    assert some(names, 2) == text
