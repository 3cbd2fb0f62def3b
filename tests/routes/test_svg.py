"""SVG: what the drawn paths say about the numbers they were made of."""

from __future__ import annotations

import re

import numpy as np
import pytest

from routes.svg import CHART_HEIGHT, CHART_WIDTH, SPARK_HEIGHT, candle_chart, sparkline


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+)[ ,]([\d.]+)", path)]


def test_a_sparkline_spans_its_box_and_turns_upside_up() -> None:
    line = sparkline(np.array([1.0, 3.0, 2.0]))
    assert line is not None
    ys = [y for _, y in points(line.path)]
    assert ys == [SPARK_HEIGHT - 2, 2, SPARK_HEIGHT / 2]
    assert points(line.path)[-1] == (float(line.end_x), float(line.end_y))


def test_a_flat_line_is_in_the_middle_and_one_point_is_no_line() -> None:
    line = sparkline(np.array([5.0, 5.0]))
    assert line is not None
    assert {y for _, y in points(line.path)} == {SPARK_HEIGHT / 2}
    assert sparkline(np.array([5.0])) is None


def test_a_hole_leaves_its_place_empty() -> None:
    flat = np.ones(3)
    chart = candle_chart(np.array([0, 1, 3]), flat, flat * 2, flat * 0.5, flat * 1.5)
    assert chart is not None
    xs = [float(x) for x in re.findall(r"M([\d.]+) ", chart.rising_wicks)]
    assert np.diff(xs) == pytest.approx([CHART_WIDTH / 4, CHART_WIDTH / 2], abs=0.2)


def test_the_fan_begins_at_the_last_close_and_stays_in_the_box() -> None:
    close = np.array([10.0, 11.0])
    fan = np.array([[9.0, 10.0, 11.0, 12.0, 14.0], [8.0, 10.0, 11.5, 12.5, 16.0]])
    chart = candle_chart(
        np.array([0, 1]), np.array([9.5, 10.0]), close + 1, close - 1, close, fan, np.array([11.0, 11.0])
    )
    assert chart is not None
    assert [len(points(band.points)) for band in chart.bands] == [6, 6]
    every = [point for band in chart.bands for point in points(band.points)]
    assert all(0 <= x <= CHART_WIDTH and 0 <= y <= CHART_HEIGHT for x, y in every)
    assert points(chart.median)[0] == points(chart.naive)[0]
    assert chart.levels


def test_nothing_is_drawn_of_nothing() -> None:
    none = np.array([])
    assert candle_chart(np.array([], dtype=np.int64), none, none, none, none) is None
