"""Challenge: the rule by which a challenger wins, where interval and p disagree and where too little is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models import challenge as challenges
from models.challenge import MIN_BLOCKS, Challenge, Skill
from models.significance import diebold_mariano, p_words, skill_bounds

_NAIVE = Skill(0.01, 0.0, 0.02)
SURE = Challenge(
    champion="old",
    challenger="new",
    from_ms=0,
    until_ms=1,
    moments=300,
    forecasts=600,
    blocks=MIN_BLOCKS,
    horizons=(1, 6, 24),
    over_champion=Skill(0.02, 0.001, 0.04),
    p_value=0.03,
    champion_over_naive=_NAIVE,
    challenger_over_naive=_NAIVE,
    course=(),
)


def test_interval_and_p_both_have_to_say_so() -> None:
    assert SURE.won
    assert SURE.words.endswith("(95 % interval of the skill +0.10 … +4.00 %, p = 0.030) over 600 forecasts: it wins")
    by_luck = replace(SURE, p_value=0.06)
    assert not by_luck.won
    assert by_luck.words.endswith("p = 0.060) over 600 forecasts: not better beyond doubt, so it does not win")
    for other in (
        replace(SURE, over_champion=Skill(0.02, -0.001, 0.04)),
        replace(SURE, p_value=None),
        replace(SURE, blocks=MIN_BLOCKS - 1),
        replace(SURE, over_champion=Skill(0.02, None, None)),
        replace(SURE, over_champion=Skill(-0.02, -0.04, -0.001), p_value=0.001),
    ):
        assert not other.won, other
        assert not other.words.endswith("it wins")


def test_p_is_that_of_the_longest_horizon_and_of_both_sides() -> None:
    random = np.random.default_rng(4)
    champion = random.gamma(4.0, 1.0, 400)
    challenger = champion * random.normal(0.99, 0.06, 400)
    found = diebold_mariano(challenger, champion, 24)
    assert found is not None
    assert challenges._p_value(challenger, champion, 24) == found.p_value == pytest.approx(2 * found.p_better)
    assert skill_bounds(challenger, champion, 24) is not None
    assert challenges._p_value(champion, champion, 24) is None, "nothing differs"


def test_p_in_words() -> None:
    assert [p_words(one) for one in (None, 0.0004, 0.0314)] == ["p unknown", "p < 0.001", "p = 0.031"]
