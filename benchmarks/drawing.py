"""Drawing: bar charts as SVG text, legible in light and dark, the same bytes for the same numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _LEFT, _RIGHT, _LINE, _TOP, _BOTTOM = 760, 230, 130, 30, 46, 34
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2328}.small{font-size:11px}.title{font-size:14px;font-weight:600}"
    ".bar{fill:#2f6fdb}.second{fill:#8fb3ee}.band{fill:#b8bec6}.line{stroke:#d5d9de}.tick{stroke:#b3261e;stroke-width:2}"
    ".ground{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#d6dae0}.bar{fill:#5b94f5}.second{fill:#2d4a7d}.band{fill:#555c66}"
    ".line{stroke:#30363d}.tick{stroke:#ff7b72}.ground{fill:#0d1117}}"
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One line: a bar from the axis's start to `value`; `second` a paler one beneath it, `band` a grey range,
    `tick` a red mark, `text` what is written at its end."""

    name: str
    value: float
    text: str
    second: float | None = None
    band: tuple[float, float] | None = None
    tick: float | None = None


def bars(title: str, lines: Sequence[Bar], *, unit: str, logarithmic: bool = False) -> str:
    """A horizontal bar chart; the axis begins at 1 where it is logarithmic, else at 0."""
    most = max([_most(line) for line in lines], default=1.0)
    axis = _Axis(max(most, 10.0 if logarithmic else 1e-9), logarithmic)
    height = _TOP + _LINE * len(lines) + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        f'role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{height}" rx="6"/>',
        f'<text class="title" x="16" y="26">{escape(title)}</text>',
    ]
    for value in axis.marks():
        x, end = axis.x(value), height - _BOTTOM
        parts.append(f'<path class="line" d="M{x:.1f} {_TOP - 6}V{end}"/>')
        parts.append(f'<text class="small" x="{x:.1f}" y="{end + 16}" text-anchor="middle">{_number(value)}</text>')
    parts.append(f'<text class="small" x="{_WIDTH - 16}" y="{height - 6}" text-anchor="end">{escape(unit)}</text>')
    for number, line in enumerate(lines):
        parts += _drawn(line, _TOP + _LINE * number, axis)
    return "\n".join([*parts, "</svg>"]) + "\n"


@dataclass(frozen=True, slots=True)
class _Axis:
    most: float
    logarithmic: bool

    def x(self, value: float) -> float:
        share = max(value, 0.0) / self.most
        if self.logarithmic:
            share = math.log10(max(value, 1.0)) / math.log10(self.most)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def marks(self) -> list[float]:
        if self.logarithmic:
            decades = math.floor(math.log10(self.most))
            return [10.0**power for power in range(0, decades + 1, max(1, math.ceil((decades + 1) / 8)))]
        step = _round_step(self.most / 5)
        return [step * number for number in range(int(self.most / step) + 1)]


def _round_step(least: float) -> float:
    size = 10.0 ** math.floor(math.log10(least))
    return next(size * factor for factor in (1.0, 2.0, 5.0, 10.0) if size * factor >= least * 0.999)


def _most(line: Bar) -> float:
    return max(line.value, line.second or 0.0, line.tick or 0.0, line.band[1] if line.band else 0.0)


def _drawn(line: Bar, y: float, axis: _Axis) -> list[str]:
    start, end = axis.x(0.0), axis.x(line.value)
    parts = [f'<text x="{_LEFT - 10}" y="{y + 17:.1f}" text-anchor="end">{escape(line.name)}</text>']
    if line.second is not None:
        parts.append(_rect("second", start, axis.x(line.second), y + 4, 18))
    parts.append(_rect("bar", start, end, y + 6, 14))
    if line.band is not None:
        parts.append(_rect("band", axis.x(line.band[0]), axis.x(line.band[1]), y + 20, 4))
    if line.tick is not None:
        parts.append(f'<path class="tick" d="M{axis.x(line.tick):.1f} {y + 2:.1f}V{y + 25:.1f}"/>')
    furthest = max(end, axis.x(line.second or 0.0), axis.x(line.tick or 0.0))
    parts.append(f'<text class="small" x="{furthest + 6:.1f}" y="{y + 17:.1f}">{escape(line.text)}</text>')
    return parts


def _rect(kind: str, start: float, end: float, y: float, height: float) -> str:
    width = max(end - start, 1.0)
    return f'<rect class="{kind}" x="{start:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}"/>'


def _number(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
