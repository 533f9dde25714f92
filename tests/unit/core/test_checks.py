"""Misspelt names, settings out of range, and the errors' own behaviour."""

import dataclasses
import pickle
import re

import pytest

from pdm_tf.core.checks import (
    lookup,
    named_paths,
    require_not_below,
    require_one_of,
    suggest,
)
from pdm_tf.core.errors import ImageError, UserError

TABLE = {"edsr": 1, "rrdbnet": 2}


def test_suggest():
    assert suggest("EDRS", TABLE) == " Did you mean 'edsr'?"
    assert suggest("swin", TABLE) == " Valid: edsr, rrdbnet."
    assert suggest("x", []) == ""


def test_lookup():
    assert lookup(TABLE, "rrdbnet", "--sr_net") == 2
    with pytest.raises(UserError) as caught:
        lookup(TABLE, "rrdb", "--sr_net")
    assert str(caught.value) == (
        "`--sr_net` must be one of edsr, rrdbnet. Received: 'rrdb'. "
        "Did you mean 'rrdbnet'?"
    )
    with pytest.raises(UserError, match=r"Received: 'swin'\.$"):
        lookup(TABLE, "swin", "--sr_net")


def test_image_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(ImageError("a/b.png", "is truncated")))
    assert (error.path, error.reason) == ("a/b.png", "is truncated")
    assert str(error) == "a/b.png: is truncated." and isinstance(error, UserError)


@dataclasses.dataclass
class Settings:
    form: str = "round"
    filters: int = 0
    weight: float = -1.0


@pytest.mark.parametrize("error", [UserError, ValueError])
def test_settings_of_a_component_are_checked_with_the_error_that_is_asked_for(error):
    require_one_of(Settings(), error, form=("round", "square"))
    require_not_below(Settings(), error, filters=0)
    for check, words in (
        (
            lambda: require_one_of(Settings(), error, form=("square", "flat")),
            "`form` of Settings must be one of square, flat. Received: 'round'.",
        ),
        (
            lambda: require_not_below(Settings(), error, filters=1),
            "`filters` of Settings must be at least 1. Received: 0.",
        ),
        (
            lambda: require_not_below(Settings(), error, weight=0),
            "`weight` of Settings must not be negative. Received: -1.0.",
        ),
    ):
        with pytest.raises(ValueError, match=re.escape(words)) as caught:
            check()
        assert type(caught.value) is error


def test_named_paths_keep_their_order_and_the_later_of_two():
    assert named_paths(["b = x=1", "a=y", "b=z"], "--model") == {"b": "z", "a": "y"}
    assert list(named_paths(["b=x", "a=y"], "--model")) == ["b", "a"]


@pytest.mark.parametrize("text", ["a", "=x", "a=", " = "])
def test_what_is_no_named_path_is_refused(text):
    with pytest.raises(UserError, match="--model is written NAME=PATH. Received: "):
        named_paths([text], "--model")
