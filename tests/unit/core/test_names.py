"""Misspelt names and the errors' own behaviour."""

import pickle

import pytest

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.names import lookup, suggest

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
