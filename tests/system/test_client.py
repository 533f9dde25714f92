"""`python -m export.client` against TF Serving's contract, by gRPC and by REST.

The server is `serving_contract.py`: official messages and stubs around the exported
SavedModel. It is not TF Serving. What is proved: the exported files and the client
agree with the wire format, the signatures, the warm-up and the JSON rules.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest

from pdm_tf.cli import program
from pdm_tf.core.images import (
    decode_rgb_u8,
    encode_png,
    read_rgb_u8,
    to_float,
    to_u8,
    write_png,
)
from tests.support.serving import (
    PHOTO,
    REPOSITORY,
    call_client,
    free_ports,
    run_client,
    small_bundle,
    small_photo,
)

SOME_LEFT_OUT = 1


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The network that is exported, loaded from its bundle."""
    from export.sources import open_sources

    return open_sources([str(small_bundle(tmp_path_factory.mktemp("bundle")))])


@pytest.fixture(scope="module")
def server(sources, tmp_path_factory):
    """Versions 1 and 3 of the exported SavedModel, and a folder that is no version."""
    from export.saved_model import write_saved_model
    from tests.support.serving_contract import ContractServer, Models

    base = tmp_path_factory.mktemp("saved_model")
    tile_u8 = read_rgb_u8(PHOTO)[:16, :16]
    write_saved_model(sources, base / "1", model_name="sr", tile_u8=tile_u8)
    shutil.copytree(base / "1", base / "3")
    (base / ".9.tmp").mkdir()
    models = Models("sr", base, labels={"stable": 1})
    with ContractServer(models) as running:
        yield running


@pytest.fixture(scope="module")
def local(sources):
    """lr_u8 -> sr_u8 by the Keras network itself."""

    def upscale(lr_u8):
        return to_u8(sources(to_float(lr_u8)[None]).numpy()[0])

    return upscale


@pytest.fixture
def small(tmp_path):
    """A picture of 40 x 30 pixels."""
    return small_photo(tmp_path / "small")[0]


def _address(server, protocol):
    port = server.grpc_port if protocol == "grpc" else server.rest_port
    return f"--server=localhost:{port}", f"--protocol={protocol}"


def test_warm_up_records_are_replayed_before_a_version_is_served(server):
    every = ["serving_bytes", "serving_default", "serving_uint8"]
    assert {k: sorted(v) for k, v in server.models.replayed.items()} == {
        1: every,
        3: every,
    }


@pytest.mark.parametrize(
    ("protocol", "signature"),
    [
        ("grpc", "serving_bytes"),
        ("grpc", "serving_uint8"),
        ("grpc", "serving_default"),
        ("rest", "serving_bytes"),
    ],
)
def test_a_photograph_comes_back_as_the_network_makes_it(
    server, local, tmp_path, protocol, signature
):
    """384 x 240 pixels: the answer is above gRPC's default limit of 4 MiB in uint8."""
    done = run_client(
        *_address(server, protocol),
        f"--signature={signature}",
        f"--input={PHOTO}",
        f"--output={tmp_path / 'sr.png'}",
    )
    assert done.returncode == program.OK, done.stderr
    assert "sr: version 3 AVAILABLE, version 1 AVAILABLE" in done.stdout
    assert "384x240 -> 1536x960" in done.stdout
    difference = np.abs(
        read_rgb_u8(tmp_path / "sr.png").astype(int) - local(read_rgb_u8(PHOTO))
    )
    assert difference.max() <= 1 and np.mean(difference) < 1e-4  # ties of rounding


def test_numbers_by_rest_too(server, local, tmp_path):
    """Float32 and uint8 as JSON, of a picture small enough for that."""
    lr_u8 = read_rgb_u8(PHOTO)[:20, :13]
    write_png(tmp_path / "lr.png", lr_u8)
    for signature in ("serving_default", "serving_uint8"):
        done = call_client(
            *_address(server, "rest"),
            f"--signature={signature}",
            f"--input={tmp_path / 'lr.png'}",
            f"--output={tmp_path / signature}.png",
        )
        assert done.returncode == program.OK, done.stderr
        sr_u8 = read_rgb_u8(tmp_path / f"{signature}.png").astype(int)
        assert np.abs(sr_u8 - local(lr_u8)).max() <= 1


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_version_and_label_reach_the_server(server, small, tmp_path, protocol):
    base = (*_address(server, protocol), f"--input={small}")
    for asked in ("--version=1", "--version=3", "--label=stable"):
        done = call_client(*base, asked, f"--output={tmp_path / 'sr.png'}")
        assert done.returncode == program.OK, done.stderr
    done = call_client(*base, "--version=7", f"--output={tmp_path / 'no.png'}")
    assert done.returncode == program.BAD_INPUT
    assert "does not serve model sr version 7" in done.stderr
    assert "It has version 3 AVAILABLE, version 1 AVAILABLE." in done.stderr
    done = call_client(*base, "--label=blue", f"--output={tmp_path / 'no.png'}")
    assert done.returncode == program.BAD_INPUT
    assert "no such label for model sr label blue" in done.stderr
    assert not (tmp_path / "no.png").exists()


def _only_line(done):
    """The one line of the error; a traceback has more."""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_unknown_model(server, small, tmp_path, protocol):
    done = call_client(
        *_address(server, protocol),
        "--model_name=srr",
        f"--input={small}",
        f"--output={tmp_path / 'sr.png'}",
    )
    assert done.returncode == program.BAD_INPUT
    assert "does not serve model srr" in _only_line(done)
    assert "--model_name" in done.stderr


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A model that is not of our exporter: one signature, another input name."""
    import tensorflow as tf

    from tests.support.serving_contract import ContractServer, Models

    class Twice(tf.Module):
        @tf.function(
            input_signature=[tf.TensorSpec([None, None, None, 3], name="x")],
            autograph=False,
        )
        def run(self, x):
            return {"sr": tf.repeat(tf.repeat(x, 2, 1), 2, 2)}

    base = tmp_path_factory.mktemp("foreign")
    module = Twice()
    tf.saved_model.save(module, base / "1", signatures={"serving_default": module.run})
    with ContractServer(Models("sr", base)) as running:
        yield running


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
@pytest.mark.parametrize(
    ("signature", "says"),
    [
        ("serving_bytes", "has no signature 'serving_bytes'"),
        ("serving_default", "takes other inputs than its exporter writes"),
    ],
)
def test_wrong_signature_or_input_stops_at_once(
    foreign, tmp_path, protocol, signature, says
):
    """Said once and not once for each photograph: no other would fare better."""
    for name in ("a.png", "b.png", "c.png"):
        small_photo(tmp_path / "in", name)
    done = call_client(
        *_address(foreign, protocol),
        f"--signature={signature}",
        f"--input={tmp_path / 'in'}",
        f"--output={tmp_path / 'out'}",
    )
    assert done.returncode == program.BAD_INPUT
    assert says in _only_line(done)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_no_server(small, tmp_path, protocol):
    (port,) = free_ports(1)
    done = call_client(
        f"--server=localhost:{port}",
        f"--protocol={protocol}",
        f"--input={small}",
        f"--output={tmp_path / 'sr.png'}",
    )
    assert done.returncode == program.BAD_INPUT
    assert f"No server answers at localhost:{port}" in _only_line(done)


@pytest.mark.parametrize(
    ("port_of", "protocol", "says"),
    [
        ("rest", "grpc", "speaks HTTP, not gRPC"),
        ("grpc", "rest", "Is it a gRPC port?"),
        ("rest", "kserve_rest", "does not serve model sr"),
        ("grpc", "kserve_grpc", "does not know this call of --protocol=kserve_grpc"),
    ],
)
def test_wrong_port_or_protocol(server, small, tmp_path, port_of, protocol, says):
    done = call_client(
        _address(server, port_of)[0],
        f"--protocol={protocol}",
        "--timeout=20",
        f"--input={small}",
        f"--output={tmp_path / 'sr.png'}",
    )
    assert done.returncode == program.BAD_INPUT
    assert says in _only_line(done)


def test_message_limit_names_both_sizes_and_the_flag(server, tmp_path):
    """The trap of gRPC's 4 MiB: here as a limit of ours, and as the stub's default."""
    base = (*_address(server, "grpc"), "--signature=serving_uint8", f"--input={PHOTO}")
    done = call_client(*base, "--max_message_mb=4", f"--output={tmp_path / 'sr.png'}")
    assert done.returncode == program.BAD_INPUT
    # int_val: values above 127 take two bytes, so more than 960 * 1536 * 3.
    size = int(done.stderr.split("a message of ")[1].split(" bytes")[0])
    assert 960 * 1536 * 3 < size < 2 * 960 * 1536 * 3
    assert "above --max_message_mb=4 (4194304 bytes)" in done.stderr
    advised = done.stderr.split("Set --max_message_mb=")[1].split()[0]
    done = call_client(
        *base, f"--max_message_mb={advised}", f"--output={tmp_path / 'sr.png'}"
    )
    assert done.returncode == program.OK, done.stderr
    done = call_client(
        *_address(server, "rest"),
        "--max_message_mb=1",
        f"--input={PHOTO}",
        f"--output={tmp_path / 'sr.png'}",
    )
    assert done.returncode == program.BAD_INPUT
    assert "above --max_message_mb=1 (1048576 bytes)" in done.stderr


def test_official_stub_without_limits_fails_as_documented(server):
    """Why the client sets limits: the same request by the plain official stub."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "sr"
    request.model_spec.signature_name = "serving_uint8"
    request.inputs["image"].CopyFrom(tf.make_tensor_proto(read_rgb_u8(PHOTO)[None]))
    with grpc.insecure_channel(f"localhost:{server.grpc_port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request, timeout=60)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "4194304" in caught.value.details()


def test_one_bad_file_costs_the_others_nothing(server, local, tmp_path):
    """A text named .png, a truncated PNG, and two good files."""
    folder, out = tmp_path / "in", tmp_path / "out"
    _, lr_u8 = small_photo(folder / "a")
    good = encode_png(lr_u8[:20])
    (folder / "b.png").write_bytes(good)
    (folder / "text.png").write_text("not a picture")
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    done = call_client(
        *_address(server, "grpc"),
        "--parallel=2",
        f"--input={folder}",
        f"--output={out}",
    )
    assert done.returncode == SOME_LEFT_OUT
    assert "2 of 4 photographs upscaled, 2 left out" in done.stdout
    assert "text.png: is not a PNG" in done.stderr
    assert "cut.png: is truncated" in done.stderr
    made = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*"))
    assert made == ["a/photo.png", "b.png"]
    sr_u8 = read_rgb_u8(out / "b.png").astype(int)
    assert np.abs(sr_u8 - local(lr_u8[:20])).max() <= 1


def test_orientation_is_honoured_though_the_server_ignores_it(server, local, tmp_path):
    """A JPEG turned by EXIF: upright by default, lying with --send=file."""
    from PIL import Image

    with Image.open(PHOTO) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.crop((0, 0, 40, 24)).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    lr_u8 = read_rgb_u8(tmp_path / "turned.jpg")
    assert lr_u8.shape == (40, 24, 3)
    sizes = {}
    for send in ("png", "file"):
        done = call_client(
            *_address(server, "grpc"),
            f"--input={tmp_path / 'turned.jpg'}",
            f"--send={send}",
            f"--output={tmp_path / send}.png",
        )
        assert done.returncode == program.OK, done.stderr
        sizes[send] = read_rgb_u8(tmp_path / f"{send}.png").shape[:2]
    assert sizes == {"png": (160, 96), "file": (96, 160)}
    upright = read_rgb_u8(tmp_path / "png.png").astype(int)
    assert np.abs(upright - local(lr_u8)).max() <= 1


def test_too_slow(small, tmp_path):
    """A server that accepts and never answers, for both kinds of connection."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for protocol in ("grpc", "rest"):
            done = call_client(
                f"--server=127.0.0.1:{silent.getsockname()[1]}",
                f"--protocol={protocol}",
                "--timeout=1",
                f"--input={small}",
                f"--output={tmp_path / 'sr.png'}",
            )
            assert done.returncode == program.BAD_INPUT
            assert "no answer within --timeout=1 seconds" in _only_line(done)


def test_the_client_needs_no_tensorflow(server, small, tmp_path):
    """Nor onnxruntime: blocked, it works all the same."""
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'tensorflow_serving', 'onnxruntime', 'kserve'):\n"
        "    sys.modules[name] = None\n"
        "from export.client.__main__ import SPEC, main, program\n"
        "program.run(SPEC, main)\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            *_address(server, "grpc"),
            f"--input={small}",
            f"--output={tmp_path / 'sr.png'}",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == program.OK, done.stderr


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_the_curl_command_of_the_serving_readme(server, local, tmp_path):
    """The command runs unchanged, but for the port, with a real curl."""
    from export.serving_files import write_serving_files

    (tmp_path / "model.onnx").write_bytes(b"not needed here")
    write_serving_files(tmp_path, model_name="sr", scale=4, version=3, tile=16)
    text = (tmp_path / "serving" / "README.md").read_text()
    (block,) = [b for b in text.split("```bash\n") if b.startswith("(printf")]
    block = block.split("```")[0].replace(
        "http://localhost:8501", f"http://127.0.0.1:{server.rest_port}"
    )
    _, lr_u8 = small_photo(tmp_path, "photo.png")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path,
        env=os.environ | {"no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    sr_u8 = read_rgb_u8(tmp_path / "photo_x4.png").astype(int)
    assert np.abs(sr_u8 - local(lr_u8)).max() <= 1


def test_rest_without_our_client(server, local):
    """The documented request itself: {"b64": ...} in, base64 out under `sr_bytes`."""
    lr_u8 = read_rgb_u8(PHOTO)[:20, :24]
    instance = {"b64": base64.b64encode(encode_png(lr_u8)).decode()}
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/sr:predict"
    for body in (
        {"signature_name": "serving_bytes", "instances": [instance, instance]},
        {"signature_name": "serving_bytes", "inputs": {"image_bytes": [instance] * 2}},
    ):
        answer = json.load(urllib.request.urlopen(url, json.dumps(body).encode()))
        pictures = answer.get("predictions") or answer["outputs"]
        assert len(pictures) == 2
        for picture in pictures:
            sr_u8 = decode_rgb_u8(base64.b64decode(picture["b64"]), "answer")
            assert np.abs(sr_u8.astype(int) - local(lr_u8)).max() <= 1
    wrong = json.dumps({"signature_name": "nonsense", "instances": [instance]}).encode()
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(url, wrong)
