"""What we wrote is read with care."""

import json

import numpy as np
import pytest

from pdm_tf.core import stored
from pdm_tf.core.errors import UserError


def test_read_json_says_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match="no file"):
        stored.read_json(tmp_path / "none.json")
    with pytest.raises(UserError, match="cannot be read"):
        stored.read_json(tmp_path)
    (tmp_path / "cut.json").write_text(json.dumps({"a": 1})[:-1])
    with pytest.raises(UserError, match=r"cut\.json must be JSON"):
        stored.read_json(tmp_path / "cut.json")


FORM = {
    "step": int,
    "rate?": (float, None),
    "files": [{"name": str}],
    "seen": {str: bool},
}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "it must be an object"),
        ('{"step": 1}', "it lacks files, seen"),
        ('{"step": true, "files": [], "seen": {}}', "it.step must be a whole number"),
        ('{"step": 1, "files": [{}], "seen": {}}', r"it.files\[0\] lacks name"),
        ('{"step": 1, "files": [], "seen": {"a": 1}}', "it.seen.a must be true or"),
        ('{"step": 1, "files": [], "seen": {}, "rate": "x"}', "it.rate must be a num"),
        ("[" * 100_000, "must be JSON. Received: it is nested too deeply"),
        ("1" * 5000, "must be JSON"),
        (b"\xff\xfe{}", "must be JSON"),
    ],
)
def test_what_is_damaged_in_a_file_is_named_with_what_to_do(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=rf"a\.json .*{words}.* Remove it\."):
        stored.read_json(path, FORM, remedy="Remove it.")


def test_a_file_of_the_right_form_is_read_and_made(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"step": 1, "files": [{"name": "b"}], "seen": {}, "rate": 2}')
    assert stored.read_json(path, FORM, make=lambda x: x["files"][0]["name"]) == "b"
    with pytest.raises(UserError, match=r"KeyError \('other'\)"):
        stored.read_json(path, make=lambda x: x["other"])


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\3\4 no zip", b"text"])
def test_damaged_arrays_are_named(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"Arrays of numbers.*a\.npz"):
        stored.read_arrays(tmp_path / "a.npz")


def test_arrays_that_hold_objects_are_not_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(UserError, match="holds objects"):
        stored.read_arrays(tmp_path / "a.npy")
