"""Chain view: how far the ledger's chain of hashes was followed, and whether it is whole, in words."""

from __future__ import annotations

from dataclasses import dataclass

from models.ledger_chain import Verification
from routes import wording


@dataclass(frozen=True, slots=True)
class ChainView:
    """The state of the hash chain in words; `state` is whole, walking or broken."""

    state: str
    text: str
    head: str


def chain_view(found: Verification) -> ChainView:
    """How far the chain of hashes was followed, and whether it is whole, in words."""
    rows = f"{found.rows:,} forecasts"
    head = found.head[:16]
    if found.broken is not None:
        broken = found.broken
        about = f" ({broken.symbol}, {wording.utc(broken.last_open_time_ms)} UTC)" if broken.symbol else ""
        return ChainView("broken", f"broken at row {broken.row:,}{about}: {broken.reason}", head)
    if not found.rows:
        return ChainView("whole", "no forecast written yet", head)
    older = f", {found.unchained:,} older than the chain" if found.unchained else ""
    if not found.complete:
        return ChainView("walking", f"{found.checked:,} of {rows} followed so far, none changed{older}", head)
    return ChainView("whole", f"whole: {rows}, none changed, added or taken out{older}", head)
