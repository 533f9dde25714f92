"""The client without a server: flags, which file becomes which, explained errors."""

import pytest

from export.client.__main__ import SPEC, plan
from export.client.errors import Asked, RequestError, ServerError, explain
from export.client.kserve import Contract, contract_of
from pdm_tf.cli.flag_set import parse
from pdm_tf.core.errors import UserError

ASKED = Asked("host:8500", "grpc", "model sr", "serving_bytes", 5.0, 4)


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_keeps_its_tree_and_no_two_files_meet(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    _touch(source, "a.jpg", "a.webp", "sub/b.PNG", "sub/note.txt", "c.png")
    tasks = {
        old.relative_to(source).as_posix(): new.relative_to(target).as_posix()
        for old, new in plan(source, target)
    }
    assert tasks == {
        "a.jpg": "a.jpg.png",
        "a.webp": "a.webp.png",
        "c.png": "c.png",
        "sub/b.PNG": "sub/b.png",
    }


def test_one_file_to_a_file_or_into_a_folder(tmp_path):
    _touch(tmp_path, "a.jpg")
    source = tmp_path / "a.jpg"
    assert plan(source, tmp_path / "o.PNG") == [(source, tmp_path / "o.PNG")]
    assert plan(source, tmp_path / "out") == [(source, tmp_path / "out" / "a.png")]
    assert plan(source, tmp_path / "x.y") == [(source, tmp_path / "x.y" / "a.png")]
    (tmp_path / "x.y").mkdir()
    assert plan(source, tmp_path / "x.y") == [(source, tmp_path / "x.y" / "a.png")]


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("none.png", "o.png", "There is no file"),
        ("a.png", "a.png", "overwrite the input"),
        ("a.png", ".", "overwrite the input"),
        ("a.png", "o.jpg", "writes PNG"),
        ("in", "in", "overwrite the input"),
        ("in", "o.png", "need a folder"),
        ("empty", "out", "holds none"),
        ("meet", "out", "would both become .*a.jpg.png"),
    ],
)
def test_plans_that_cannot_be(tmp_path, source, target, says):
    _touch(tmp_path, "a.png", "in/b.png")
    _touch(tmp_path / "meet", "a.jpg", "a.webp", "a.jpg.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=says):
        plan(tmp_path / source, tmp_path / target)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--input=a"], "--output is required"),
        (["--output=a"], "--input is required"),
        (["--server=http://localhost:8500"], "without http://"),
        (["--server=localhost"], "HOST:PORT"),
        (["--signature=serving_byte"], "Did you mean 'serving_bytes'"),
        (["--model_name=a/b"], "--model_name"),
        (["--label=a b"], "--label"),
        (["--version=1", "--label=stable"], "not both"),
        (["--label=stable", "--protocol=kserve_rest"], "TF Serving's"),
        (["--timeout=0"], "--timeout"),
        (["--timeout=inf"], "--timeout"),
        (["--parallel=0"], "--parallel"),
        (["--max_message_mb=4096"], "2047"),
        (["--send=file", "--signature=serving_uint8"], "--send=file needs"),
        (["--send=file", "--protocol=kserve_grpc"], "--send=file needs"),
    ],
)
def test_flags_that_cannot_be(flags, says):
    given = [] if "required" in says else ["--input=a", "--output=b"]
    with pytest.raises(UserError, match=says):
        parse(SPEC, [*given, *flags])


# code, the server's words (TF Serving's from its sources), kind, what we say
WORDS = [
    (
        "NOT_FOUND",
        "Servable not found for request: Specific(sr, 7)",
        ServerError,
        "does not serve model sr",
    ),
    # Triton, gRPC and HTTP.
    (
        "UNAVAILABLE",
        "Request for unknown model: 'sr' has no available versions",
        ServerError,
        "does not serve model sr",
    ),
    (
        "INVALID_ARGUMENT",
        "Request for unknown model: 'sr' is not found",
        ServerError,
        "does not serve model sr",
    ),
    (
        "FAILED_PRECONDITION",
        'Serving signature key "serving_bytes" not found.',
        ServerError,
        "no signature 'serving_bytes'",
    ),
    (
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: blue",
        ServerError,
        "no such label",
    ),
    (
        "INVALID_ARGUMENT",
        "input size does not match signature: 1!=1 len({image_bytes}) != len({x}).",
        ServerError,
        "takes other inputs",
    ),
    (
        "INVALID_ARGUMENT",
        "Missing named input: x in 'inputs' object.",
        ServerError,
        "takes other inputs",
    ),
    (
        "INVALID_ARGUMENT",
        "Tensors with name 'image:0' from different tasks have different shapes and "
        "padding is turned off.",
        RequestError,
        "--signature=serving_bytes",
    ),
    (
        "INVALID_ARGUMENT",
        "Input is empty.\n\t [[{{node DecodeImage}}]]",
        RequestError,
        r"refuses it \(INVALID_ARGUMENT\). The server says: Input is empty.$",
    ),
    (
        "UNAVAILABLE",
        "The batch scheduling queue to which this task was submitted is full",
        RequestError,
        "lower --parallel",
    ),
    (
        "UNAVAILABLE",
        "Connection refused",
        ServerError,
        "No server answers at host",
    ),
    ("UNIMPLEMENTED", "", ServerError, "--protocol=grpc"),
    ("DEADLINE_EXCEEDED", "", RequestError, "--timeout=5 seconds"),
    (
        "RESOURCE_EXHAUSTED",
        "CLIENT: Received message larger than max (7077956 vs. 4194304)",
        RequestError,
        r"7077956 bytes is above --max_message_mb=4 \(4194304 bytes\). Set "
        "--max_message_mb=7 or",
    ),
    (
        "RESOURCE_EXHAUSTED",
        "SERVER: Received message larger than max (9720059 vs. 8388608)",
        RequestError,
        "9720059 bytes is above the server's limit of 8388608",
    ),
    (
        "RESOURCE_EXHAUSTED",
        "OOM when allocating tensor with shape[1,64,9000,9000]",
        RequestError,
        "too little memory",
    ),
    ("INTERNAL", "", RequestError, r"refuses it \(INTERNAL\).$"),
]


@pytest.mark.parametrize(("code", "text", "kind", "says"), WORDS)
def test_a_servers_words_are_explained_in_one_line(code, text, kind, says):
    """`ServerError` stops all, `RequestError` is one picture's: not to be mixed up."""
    error = explain(code, text, ASKED)
    assert type(error) is kind
    assert "\n" not in str(error)
    with pytest.raises(kind, match=says):
        raise error


def test_the_servers_models_are_listed():
    error = explain("NOT_FOUND", "", ASKED, "version 3 AVAILABLE")
    assert "It has version 3 AVAILABLE." in str(error)


@pytest.mark.parametrize(
    ("inputs", "outputs", "contract"),
    [
        ([], [], Contract()),
        (
            [("image", "FP32", [-1, -1, -1, 3])],
            ["sr"],
            Contract("image", "sr", "FP32", False),
        ),
        (
            [("x", "UINT8", [-1, 3, -1, -1])],
            ["y"],
            Contract("x", "y", "UINT8", True),
        ),
        ([("x", "FP32", [3, -1, -1])], ["y"], Contract("x", "y", "FP32", True)),
    ],
)
def test_the_contract_is_what_metadata_says(inputs, outputs, contract):
    assert contract_of(inputs, outputs, "model sr") == contract


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([("x", "FP64", [-1, -1, -1, 3])], ["y"]),
        ([("x", "FP32", [-1, -1, -1, 1])], ["y"]),
        ([("x", "FP32", [-1, 10])], ["y"]),
        ([("x", "FP32", [-1, -1, -1, 3]), ("z", "FP32", [-1, 8])], ["y"]),
        ([("x", "FP32", [-1, -1, -1, 3])], ["y", "z"]),
    ],
)
def test_models_of_another_kind_are_refused(inputs, outputs):
    with pytest.raises(ServerError, match="must take one image"):
        contract_of(inputs, outputs, "model sr")
