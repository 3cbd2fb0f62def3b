"""ModelSpec: what is written is what is read, and whatever is not a spec is refused with the field's name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.spec import Kind, ModelSpec, parse_id
from models.traits import TRAITS
from tests.support import tiny_model
from utils.errors import InvalidInput, ModelCorrupt


def changed(**fields: Any) -> str:
    return json.dumps(json.loads(tiny_model.spec().to_json()) | fields)


def test_a_spec_survives_its_json() -> None:
    spec = tiny_model.spec()
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert json.loads(spec.to_json())["symbols"] == "all"
    assert ModelSpec.from_json(spec.to_json()).to_json() == spec.to_json()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"id": "../../etc"}, "id is '../../etc': .* letters, digits"),
        ({"id": ""}, "id is ''"),
        ({"id": 7}, "id is '7'"),
        ({"kind": "oracle"}, "kind is 'oracle'"),
        ({"interval": "1x"}, "interval is '1x'"),
        ({"window": 0}, "window is '0'"),
        ({"window": 8.5}, "window is '8.5'"),
        ({"window": True}, "window is 'True'"),
        ({"seed": -1}, "seed is '-1'"),
        ({"features": []}, "features is"),
        ({"features": ["return_1", "return_1"]}, "a feature is named twice"),
        ({"features": [1]}, "features is"),
        ({"horizons": [2, 1]}, "horizons is .* must increase"),
        ({"quantiles": [0.5, 1.5]}, "quantiles is"),
        ({"quantiles": [0.05, 0.25, 0.4, 0.75, 0.95]}, "the median"),
        ({"symbols": ["BTC/USDT"]}, "symbols is"),
        ({"baseline": [[0, 1, 2, 3, 4]]}, "baseline must be 24 rows of 5"),
        ({"baseline": [[0, 1, 2, 3], [0, 1]]}, "baseline must be"),
        ({"baseline": [[5, 4, 3, 2, 1]] * 24}, "must increase"),
        ({"schema": 2}, "has schema 2; this version reads 1"),
        ({"more": 1}, "unknown fields more"),
        ({"train_until_ms": 0}, "must be before"),
        ({"versions": {"keras": 3}}, "versions is"),
    ],
)
def test_what_does_not_fit_is_named(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ModelCorrupt, match=complaint):
        ModelSpec.from_json(changed(**fields))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": NaN}', "[" * 100_000, "null"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ModelCorrupt, match=r"spec\.json"):
        ModelSpec.from_json(text)


def test_every_field_is_needed() -> None:
    whole = json.loads(tiny_model.spec().to_json())
    for name in whole.keys() - {"schema", "season", "context"}:
        with pytest.raises(ModelCorrupt, match=f"lacks {name}"):
            ModelSpec.from_json(json.dumps({key: value for key, value in whole.items() if key != name}))


@pytest.mark.parametrize("text", ["a/b", "..", "a b", "x" * 65, "é", "a\n", ""])
def test_ids_are_plain_names(text: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 64 letters"):
        parse_id(text)


def test_ids_that_fit() -> None:
    assert [parse_id(text) for text in ("a", "tcn-1h_2", "X" * 64)] == ["a", "tcn-1h_2", "X" * 64]


def test_kinds_are_a_closed_set() -> None:
    assert set(Kind) == set(TRAITS)
    with pytest.raises(ModelCorrupt, match="kind is 'oracle'"):
        ModelSpec.from_json(tiny_model.spec().to_json().replace('"tcn"', '"oracle"'))
