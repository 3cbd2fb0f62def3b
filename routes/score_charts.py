"""Score charts: coverage by horizon, where outcomes fell, and the error over time, as paths of inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.ledger_sums import Course
from routes import wording
from routes.services import SkillFace

Floats = NDArray[np.float64]

WIDTH, HEIGHT = 460, 210
LEFT, RIGHT, TOP, BOTTOM = 40.0, 8.0, 8.0, 22.0
_END = WIDTH - RIGHT
_NOMINAL = (0.5, 0.9)


@dataclass(frozen=True, slots=True)
class Mark:
    """A text at a place; `anchor` is what SVG calls text-anchor."""

    x: str
    y: str
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Path data in a box of WIDTH × HEIGHT: `frame` are grid lines, `nominal` what should be, the rest what was."""

    frame: str
    nominal: str
    lines: tuple[str, ...]
    dots: str
    rising: str
    falling: str
    across: tuple[Mark, ...]
    beside: tuple[Mark, ...]
    label: str


def coverage_chart(pooled: Mapping[int, SkillFace], least: int) -> Chart | None:
    """Realised coverage of the 50 % and 90 % bands by horizon, of those with at least so many scores."""
    shown = [ahead for ahead, skill in pooled.items() if skill.count >= least]
    if len(shown) < 2:
        return None
    xs = _scale(np.array(shown, dtype=np.float64), min(shown), max(shown), LEFT, _END)
    inner = np.array([pooled[ahead].coverage_50 for ahead in shown], dtype=np.float64)
    outer = np.array([pooled[ahead].coverage_90 for ahead in shown], dtype=np.float64)
    levels = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
    return Chart(
        frame="".join(_across(_up(level, 0.0, 1.0)) for level in levels if level not in _NOMINAL),
        nominal="".join(_across(_up(level, 0.0, 1.0)) for level in _NOMINAL),
        lines=tuple(_line(xs, _ups(values, 0.0, 1.0)) for values in (inner, outer)),
        dots="".join(_dot(x, y) for values in (inner, outer) for x, y in zip(xs, _ups(values, 0.0, 1.0), strict=True)),
        rising="",
        falling="",
        across=tuple(_below(float(x), f"{ahead}") for x, ahead in zip(xs, shown, strict=True) if _labelled(ahead)),
        beside=tuple(_left(_up(level, 0.0, 1.0), wording.percent(level, 0)) for level in levels if level != 1.0),
        label=_coverage_label(shown, inner, outer),
    )


def calibration_chart(ranks: Floats, quantiles: Sequence[float], least: int) -> Chart | None:
    """How often outcomes fell between the quantiles, over how often they should: 1 is right, as in a PIT histogram.

    Each bar is as wide as its nominal probability, so its area is the realised one (Dawid 1984; Gneiting et al. 2007).
    """
    total = float(ranks.sum())
    if total < least:
        return None
    edges = np.array([0.0, *quantiles, 1.0])
    densities = ranks / total / np.diff(edges)
    top = max(2.0, float(np.ceil(densities.max() * 2) / 2))
    xs = _scale(edges, 0.0, 1.0, LEFT, _END)
    base = _up(0.0, 0.0, top)
    bars = [
        f"M{left + 1:.1f} {base:.1f}V{y:.1f}H{right - 1:.1f}V{base:.1f}Z"
        for left, right, y in zip(xs, xs[1:], _ups(densities, 0.0, top), strict=False)
    ]
    ticks = np.arange(0.0, top + 0.01, 0.5 if top <= 3 else np.ceil(top / 5))
    return Chart(
        frame="".join(_across(_up(float(level), 0.0, top)) for level in ticks),
        nominal=_across(_up(1.0, 0.0, top)),
        lines=(),
        dots="",
        rising="".join(bars),
        falling="",
        across=tuple(_below(float(x), wording.percent(level, 0)) for x, level in zip(xs[1:-1], quantiles, strict=True)),
        beside=tuple(_left(_up(float(level), 0.0, top), f"{level:g}×") for level in ticks),
        label="Outcomes between the quantiles, as a multiple of what should be: "
        + ", ".join(f"{density:.2f}" for density in densities),
    )


def course_chart(course: Course) -> Chart | None:
    """Skill of each stretch of days as a bar up or down from no change, oldest left."""
    there = course.count > 0
    if np.count_nonzero(there) < 2:
        return None
    skills = 1.0 - course.loss[there] / course.baseline_loss[there]
    starts = course.from_ms[there]
    width_ms = int(course.until_ms[0] - course.from_ms[0])
    reach = max(0.01, float(np.abs(skills).max()) * 1.05)
    xs = _scale((starts + width_ms / 2).astype(np.float64), int(starts[0]), int(starts[-1]) + width_ms, LEFT, _END)
    half = max(0.8, 0.4 * (_END - LEFT) * width_ms / (int(starts[-1]) + width_ms - int(starts[0])))
    zero = _up(0.0, -reach, reach)
    bars = {
        up: "".join(
            f"M{x - half:.1f} {zero:.1f}V{y:.1f}H{x + half:.1f}V{zero:.1f}Z"
            for x, y, skill in zip(xs, _ups(skills, -reach, reach), skills, strict=True)
            if (skill > 0) == up
        )
        for up in (True, False)
    }
    step = _round_step(reach)
    levels = [number * step for number in range(-int(reach / step), int(reach / step) + 1)]
    ends = [_below(LEFT, wording.utc(int(starts[0]))[:10], "start")]
    ends.append(_below(_END, wording.utc(int(starts[-1]) + width_ms - 1)[:10], "end"))
    return Chart(
        frame="".join(_across(_up(level, -reach, reach)) for level in levels),
        nominal=_across(zero),
        lines=(),
        dots="",
        rising=bars[True],
        falling=bars[False],
        across=tuple(ends),
        beside=tuple(_left(_up(level, -reach, reach), _share(level, step)) for level in levels),
        label=f"Skill over time: better than no change in {int((skills > 0).sum())} of {len(skills)} stretches of "
        f"{wording.duration(width_ms / 1000)}",
    )


def _coverage_label(shown: Sequence[int], inner: Floats, outer: Floats) -> str:
    return (
        f"Realised coverage from {shown[0]} to {shown[-1]} candles ahead: the 90 % band between "
        f"{wording.percent(float(outer.min()), 0)} and {wording.percent(float(outer.max()), 0)}, the 50 % band between "
        f"{wording.percent(float(inner.min()), 0)} and {wording.percent(float(inner.max()), 0)}"
    )


def _labelled(ahead: int) -> bool:
    return ahead == 1 or ahead % 6 == 0


def _round_step(reach: float) -> float:
    power = 10.0 ** np.floor(np.log10(reach / 2))
    return float(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= reach / 2.5))


def _share(level: float, step: float) -> str:
    return wording.percent(level, 0 if step >= 0.01 else 1, signed=abs(level) > step / 2)


def _scale(values: Floats, low: float, high: float, start: float, end: float) -> Floats:
    scaled: Floats = start + (np.asarray(values, dtype=np.float64) - low) / (high - low) * (end - start)
    return scaled


def _ups(values: Floats, low: float, high: float) -> Floats:
    return _scale(values, low, high, HEIGHT - BOTTOM, TOP)


def _up(value: float, low: float, high: float) -> float:
    return float(_ups(np.array([value]), low, high)[0])


def _across(y: float) -> str:
    return f"M{LEFT:.0f} {y:.1f}H{_END:.0f}"


def _line(xs: Floats, ys: Floats) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs.tolist(), ys.tolist(), strict=True))


def _dot(x: float, y: float) -> str:
    return f"M{x:.1f} {y:.1f}h.01"


def _below(x: float, text: str, anchor: str = "middle") -> Mark:
    return Mark(f"{x:.1f}", f"{HEIGHT - 6}", text, anchor)


def _left(y: float, text: str) -> Mark:
    return Mark(f"{LEFT - 5:.1f}", f"{y + 3.5:.1f}", text, "end")
