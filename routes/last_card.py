"""Last card: the card of a model or an ensemble; while the database does not answer, as it was read last."""

from __future__ import annotations

from typing import NamedTuple

from routes.ensemble_page import EnsembleCard, ensemble_card
from routes.model_card import ModelCard, model_card
from routes.services import Services
from utils.errors import StoreError
from utils.last_known import Known, Silence


class Seen(NamedTuple):
    """`silence` where the card is that of another time."""

    card: ModelCard | EnsembleCard
    silence: Silence | None


def last_card(parts: Services, name: str) -> Seen:
    """StoreError while the database does not answer and nobody has looked at this card before."""
    known: Known[ModelCard | EnsembleCard] = parts.known.read(
        ("card", name), lambda: ensemble_card(parts, name) or model_card(parts, name)
    )
    if known.value is None:
        raise StoreError(known.silence.reason if known.silence is not None else "the database does not answer")
    return Seen(known.value, known.silence)
