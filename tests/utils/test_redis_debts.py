"""Debts to a Redis server: owed until it was told, whoever is telling it, and taken back where that fails."""

from __future__ import annotations

import pytest

from utils.redis_debts import RedisDebts


def test_what_is_being_paid_is_still_owed_to_everybody_else() -> None:
    debts = RedisDebts()
    debts.owe(["a", "b"])
    seen: list[tuple[str, bool, bool]] = []

    def tell(key: str) -> bool:
        seen.append((key, bool(debts), debts.pay(lambda _: True, lambda: True)))
        return True

    assert debts.pay(tell, lambda: False)
    assert sorted(seen) == [("a", True, False), ("b", True, False)], "another thread would read what is old"
    assert not debts


def test_what_could_not_be_told_is_owed_again_however_that_failed() -> None:
    debts = RedisDebts()
    debts.owe(["a", "b", "c"])
    assert not debts.pay(lambda key: key == "b", lambda: False)

    def fail(_: str) -> bool:
        raise OSError("the server is gone")

    with pytest.raises(OSError, match="gone"):
        debts.pay(fail, lambda: False)
    told: list[str] = []
    assert debts.pay(lambda key: not told.append(key), lambda: False)  # type: ignore[func-returns-value]
    assert sorted(told) == ["a", "c"]


def test_many_keys_are_everything() -> None:
    debts = RedisDebts()
    debts.owe([str(number) for number in range(65)])
    assert not debts.pay(lambda _: False, lambda: False)
    assert debts.pay(lambda _: False, lambda: True)
    assert not debts
