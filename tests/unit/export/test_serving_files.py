"""The files for servers parse and agree with each other; their commands work."""

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from export.client.__main__ import SPEC as CLIENT
from export.kserve_server import SPEC as KSERVE
from export.serving_files import write_serving_files
from export.signatures import SIGNATURES
from pdm_tf.cli.flag_set import parse
from pdm_tf.core.errors import UserError

GIVEN = {"model_name": "faces-4.x", "scale": 3, "version": 12, "tile": 96}


@pytest.fixture
def output(tmp_path):
    """An export's folder with the serving files."""
    (tmp_path / "model.onnx").write_bytes(b"weights")
    write_serving_files(tmp_path, **GIVEN)
    return tmp_path


def test_the_serving_files_are_written(output):
    written = write_serving_files(output, **GIVEN)  # again: nothing is in the way
    names = sorted(path.relative_to(output).as_posix() for path in written)
    assert names == [
        "serving/README.md",
        "serving/batching_parameters.txt",
        "serving/models.config",
        "serving/triton/faces-4.x/12/model.onnx",
        "serving/triton/faces-4.x/config.pbtxt",
    ]
    found = {path for path in (output / "serving").rglob("*") if path.is_file()}
    assert found == set(written)  # no temporary file is left
    for path in written:
        assert not re.search("@[A-Z]", path.read_text()), f"{path}: a placeholder"


def test_tf_serving_reads_the_models_config(output):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    text = (output / "serving" / "models.config").read_text()
    parsed = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (config,) = parsed.model_config_list.config
    assert config.name == "faces-4.x" and config.model_platform == "tensorflow"
    # The folder above the versions, at the place where the README mounts it.
    assert config.base_path == "/models/faces-4.x"
    assert list(config.model_version_policy.specific.versions) == [12]
    assert dict(config.version_labels) == {"stable": 12}


def test_batching_sizes_increase_to_the_maximum_and_nothing_is_padded(output):
    text = (output / "serving" / "batching_parameters.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    sizes = [int(x) for x in re.findall(r"^allowed_batch_sizes: (\d+)$", text, re.M)]
    (largest,) = re.findall(r"^max_batch_size \{ value: (\d+) \}$", text, re.M)
    assert sizes == sorted(set(sizes)) and sizes[-1] == int(largest)
    assert not any("pad" in line for line in lines)


@pytest.mark.parametrize(
    ("layout", "dims", "tile"),
    [("NHWC", "-1, -1, 3", "96, 96, 3"), ("NCHW", "3, -1, -1", "3, 96, 96")],
)
def test_triton_config_has_the_onnx_contract(output, layout, dims, tile):
    """That a real Triton reads it, test_triton.py shows."""
    write_serving_files(output, layout=layout, **GIVEN)
    text = (output / "serving/triton/faces-4.x/config.pbtxt").read_text()
    assert 'name: "faces-4.x"' in text and 'backend: "onnxruntime"' in text
    for kind, name in (("input", "image"), ("output", "sr")):
        block = re.search(rf"^{kind} \[(.*?)^\]", text, re.M | re.S)[1]
        assert f'name: "{name}"' in block and "TYPE_FP32" in block
        assert f"dims: [ {dims} ]" in block
    assert f"dims: [ {tile} ] zero_data: true" in text
    settings = "\n".join(x for x in text.splitlines() if not x.startswith("#"))
    assert "ragged" not in settings
    assert settings.count("{") == settings.count("}")


def test_triton_gets_the_model_without_a_second_copy_and_keeps_old_versions(output):
    linked = output / "serving/triton/faces-4.x/12/model.onnx"
    assert os.path.samefile(linked, output / "model.onnx")
    assert not linked.is_symlink()  # it would point out of the mounted folder
    # The next export replaces the file by a rename.
    (output / "new").write_bytes(b"better weights")
    os.replace(output / "new", output / "model.onnx")
    write_serving_files(output, **(GIVEN | {"version": 13}))
    newer = output / "serving/triton/faces-4.x/13/model.onnx"
    assert linked.read_bytes() == b"weights"
    assert newer.read_bytes() == b"better weights"


def test_where_links_are_not_supported_a_copy_is_made(output, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_serving_files(output, **(GIVEN | {"version": 13}))
    copy = output / "serving/triton/faces-4.x/13/model.onnx"
    assert copy.read_bytes() == b"weights"
    assert not os.path.samefile(copy, output / "model.onnx")


def _blocks(output):
    text = (output / "serving" / "README.md").read_text()
    return re.findall(r"^```bash\n(.*?)^```$", text, re.M | re.S)


def _commands(output):
    """Each command of the README as its words, lines joined."""
    return [
        shlex.split(line)
        for block in _blocks(output)
        for line in block.replace("\\\n", " ").splitlines()
        if not line.startswith("(")
    ]


def test_docker_commands_mount_existing_folders(output):
    runs = [words for words in _commands(output) if words[:2] == ["docker", "run"]]
    assert len(runs) == 3
    (output / "saved_model").mkdir()
    inside = {}
    for words in runs:
        mounts = [words[i + 1] for i, word in enumerate(words) if word == "-v"]
        for mount in mounts:
            source, target, mode = mount.split(":")
            assert mode == "ro"
            path = output / source.removeprefix("$PWD/")
            assert source.startswith("$PWD/") and path.is_dir(), source
            inside[target] = path
        for word in words:
            name, _, value = word.partition("=")
            if name in ("--model_config_file", "--batching_parameters_file"):
                folder, _, file = value.rpartition("/")
                assert (inside[folder] / file).is_file()
    # The path that models.config names is one that the command mounts.
    assert inside["/models/faces-4.x"].name == "saved_model"
    assert inside["/models"].name == "triton"
    assert (inside["/models"] / "faces-4.x" / "config.pbtxt").is_file()


def test_commands_of_our_programs_parse(output):
    specs = {"export.client": CLIENT, "export.kserve_server": KSERVE}
    found = []
    for words in _commands(output):
        if words[:2] == ["python", "-m"] and words[2] in specs:
            config = parse(specs[words[2]], words[3:])
            assert config.model_name == "faces-4.x"
            found.append((words[2], getattr(config, "protocol", "")))
    assert {p for _, p in found} == {"grpc", "rest", "kserve_grpc", "kserve_rest", ""}


def test_the_curl_command_sends_and_reads_what_the_signature_says(output, tmp_path):
    """Run as it stands, but with a `curl` that notes the request and answers."""
    (block,) = [block for block in _blocks(output) if "base64 -w0" in block]
    tools = tmp_path / "tools"
    tools.mkdir()
    fake = tools / "curl"
    fake.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" > asked\n'
        """printf '{"predictions":[{"b64":"UE5H"}]}'\n"""
    )
    fake.chmod(0o755)
    (output / "photo.png").write_bytes(b"\x89PNG of ours")
    path = f"{tools}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    done = subprocess.run(
        [shutil.which("bash"), "-euo", "pipefail", "-c", block],
        cwd=output,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    request = json.loads((output / "request.json").read_text())
    assert request["signature_name"] in SIGNATURES
    assert SIGNATURES[request["signature_name"]].dtype == "string"
    assert list(request["instances"][0]) == ["b64"]

    assert base64.b64decode(request["instances"][0]["b64"]) == b"\x89PNG of ours"
    asked = (output / "asked").read_text().split()
    assert "http://localhost:8501/v1/models/faces-4.x/versions/12:predict" in asked
    assert "@request.json" in asked
    assert (output / "photo_x3.png").read_bytes() == b"PNG"


def test_signature_names_in_the_readme_are_the_table(output):
    text = (output / "serving" / "README.md").read_text()
    assert set(re.findall(r"serving_[a-z0-9]+", text)) == set(SIGNATURES)
    for signature in SIGNATURES.values():
        assert f"`{signature.input}`" in text and f"`{signature.output}`" in text


def test_rest_encodes_strings_only_under_names_that_end_so():
    """TF Serving's rule; a new signature that forgets it answers in broken JSON."""
    for signature in SIGNATURES.values():
        assert signature.output.endswith("_bytes") == (signature.dtype == "string")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model_name": "a/b"}, UserError),
        ({"model_name": ""}, UserError),
        ({"model_name": ".hidden"}, UserError),
        ({"version": 0}, ValueError),
        ({"scale": 0}, ValueError),
        ({"tile": 0}, ValueError),
        ({"layout": "CHW"}, ValueError),
    ],
)
def test_values_that_cannot_be_used(output, change, error):
    with pytest.raises(error, match="Received"):
        write_serving_files(output, **(GIVEN | change))


def test_without_a_model(tmp_path):
    with pytest.raises(UserError, match="model.onnx"):
        write_serving_files(tmp_path, **GIVEN)
    assert list(tmp_path.iterdir()) == []
