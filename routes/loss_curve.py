"""Loss curve: how a training's losses fell from epoch to epoch, drawn on the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CURVE_WIDTH, CURVE_HEIGHT = 420, 120
_MARGIN = 6.0


@dataclass(frozen=True, slots=True)
class LossCurve:
    """A path in a box of CURVE_WIDTH × CURVE_HEIGHT on a scale of its own, and the place of the lowest loss."""

    title: str
    path: str
    best_x: str
    best_y: str
    best_epoch: int
    first: str
    best: str
    last: str
    epochs: int


def loss_curve(title: str, losses: Sequence[float | None], epochs: int) -> LossCurve | None:
    """`epochs` is how many the box has room for; None before two epochs are over, for one is no curve."""
    known = [(number, loss) for number, loss in enumerate(losses) if loss is not None]
    if len(known) < 2:
        return None
    low, high = min(loss for _, loss in known), max(loss for _, loss in known)
    step = (CURVE_WIDTH - 2 * _MARGIN) / max(1, epochs - 1, known[-1][0])
    span = (high - low) or 1.0
    points = [
        (_MARGIN + number * step, _MARGIN + (high - loss) / span * (CURVE_HEIGHT - 2 * _MARGIN))
        for number, loss in known
    ]
    best = min(range(len(known)), key=lambda index: known[index][1])
    return LossCurve(
        title=title,
        path="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points),
        best_x=f"{points[best][0]:.1f}",
        best_y=f"{points[best][1]:.1f}",
        best_epoch=known[best][0] + 1,
        first=f"{known[0][1]:.5f}",
        best=f"{known[best][1]:.5f}",
        last=f"{known[-1][1]:.5f}",
        epochs=len(losses),
    )


def loss_curves(curve: Sequence[Sequence[float | None]], epochs: int) -> tuple[LossCurve, ...]:
    """Of pairs (training loss, validation loss); each on its own scale, for only one of them is weighted by age."""
    titles = ("Training loss, newer candles weigh more", "Validation loss, on candles not trained on")
    columns = list(zip(*curve, strict=True)) if curve else []
    drawn = (loss_curve(title, column, epochs) for title, column in zip(titles, columns, strict=False))
    return tuple(one for one in drawn if one is not None)
