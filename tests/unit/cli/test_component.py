"""Component settings: a typo or a wrong type must never pass silently."""

import dataclasses
import json
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_tf.cli.component import from_json_dict, parse_args, to_json_dict
from pdm_tf.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class Example:
    num_blocks: int = 16
    res_scale: float = 1.0
    bias: bool = True
    kind: Literal["plain", "dense"] = "plain"
    strides: tuple[int, ...] = (1, 2)
    weights: tuple[float, ...] = ()
    limit: float | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if self.num_blocks < 1:
            raise ValueError(
                f"`num_blocks` must be positive. Received: {self.num_blocks}."
            )


def test_every_type_is_read():
    args = [
        "num_blocks=8",
        "res_scale=1e-1",
        "bias=No",
        "kind=dense",
        "strides=1,2,2,1,1",
        "weights=(0.5, 1)",
        "limit=3",
        "label=a=b",
    ]
    assert parse_args(Example, args) == Example(
        8, 0.1, False, "dense", (1, 2, 2, 1, 1), (0.5, 1.0), 3.0, "a=b"
    )


def test_empty_tuple_and_none():
    parsed = parse_args(Example, ["strides=", "limit=none"], base=Example(limit=2.0))
    assert parsed.strides == ()
    assert parsed.limit is None


def test_later_key_wins_and_base_holds_the_rest():
    base = Example(res_scale=0.2, num_blocks=3)
    parsed = parse_args(Example, ["num_blocks=4", "num_blocks=5"], base=base)
    assert parsed == dataclasses.replace(base, num_blocks=5)


def test_unknown_key_names_the_nearest_and_the_list():
    with pytest.raises(UserError, match=r"num_blok.*Did you mean 'num_blocks'"):
        parse_args(Example, ["num_blok=8"])
    with pytest.raises(UserError, match=r"Valid: num_blocks, res_scale, bias"):
        parse_args(Example, ["zzz=8"])


@pytest.mark.parametrize(
    ("arg", "words"),
    [
        ("num_blocks=8.5", "an integer"),
        ("num_blocks=", "an integer"),
        ("res_scale=nan", "a finite number"),
        ("res_scale=x", "a finite number"),
        ("bias=maybe", "true or false"),
        ("kind=dens", "one of plain, dense"),
        ("strides=1,b", "a comma-separated list of integers"),
        ("strides=1,,2", "a comma-separated list of integers"),
        ("limit=few", "a finite number or none"),
        ("num_blocks", "key=value"),
        ("num_blocks=0", "must be positive"),
    ],
)
def test_bad_values_are_refused_with_the_rule(arg, words):
    with pytest.raises(UserError, match=words):
        parse_args(Example, [arg])


@given(
    st.builds(
        Example,
        num_blocks=st.integers(1, 10**12),
        res_scale=st.floats(allow_nan=False, allow_infinity=False),
        bias=st.booleans(),
        kind=st.sampled_from(["plain", "dense"]),
        strides=st.lists(st.integers()).map(tuple),
        weights=st.lists(st.floats(-1e9, 1e9)).map(tuple),
        limit=st.none() | st.floats(-1e9, 1e9),
        label=st.text(),
    )
)
def test_json_round_trip(config):
    text = json.dumps(to_json_dict(config))
    assert from_json_dict(Example, json.loads(text)) == config


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"num_block": 3}, "Did you mean 'num_blocks'"),
        ({"num_blocks": 3.0}, "an integer"),
        ({"num_blocks": True}, "an integer"),
        ({"bias": 1}, "true or false"),
        ({"strides": "1,2"}, "list of integers"),
        ({"strides": [1, None]}, "list of integers"),
        ({"label": None}, "a text"),
        ({"kind": "other"}, "one of"),
    ],
)
def test_json_of_the_wrong_type_is_refused(values, words):
    with pytest.raises(UserError, match=words):
        from_json_dict(Example, values)


def test_json_absent_keys_take_defaults():
    assert from_json_dict(Example, {"num_blocks": 2}) == Example(num_blocks=2)
