"""Leak findings: what a leak check found, its verdict in words, and what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from utils.phrases import some


@dataclass(frozen=True, slots=True)
class Finding:
    """One leak: where it is written, which feature or step, what it does, and what to write instead."""

    file: str
    feature: str
    problem: str
    fix: str


@dataclass(frozen=True, slots=True)
class Check:
    """One check with its verdict in words; `findings` are empty where `ok`."""

    name: str
    ok: bool
    words: str
    findings: tuple[Finding, ...] = ()


def verdict(name: str, tried: str, good: str, findings: Sequence[Finding]) -> Check:
    """The check, its words being what was `tried` and either what is `good` or the first few findings."""
    if not findings:
        return Check(name, True, f"{tried}: {good}")
    named = some([f"{finding.feature} ({finding.file})" for finding in findings], 3)
    return Check(name, False, f"{tried}: {named}; {findings[0].problem}", tuple(findings))
