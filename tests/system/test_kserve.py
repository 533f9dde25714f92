"""An exported ONNX file on a real KServe server, called by the client program.

The server is kserve's own (`python -m export.kserve_server`), a process on loopback;
HTTP and gRPC of the Open Inference Protocol. Local inference is the oracle.
"""

import json
import signal
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest

from pdm_tf.cli import program
from pdm_tf.core.images import read_rgb_u8
from tests.support.serving import (
    PHOTO,
    call_client,
    free_ports,
    run_client,
    server_command,
    server_process,
    small_photo,
)

# 127.0.0.1, and the same written for sockets of either version.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    """A small EDSR x4 as `python -m export` writes it."""
    from tests.support.serving import small_onnx

    return small_onnx(tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="module")
def local(onnx_file):
    """lr_u8 -> sr_u8 by `pdm_tf.inference`, without a server."""
    from pdm_tf.inference.engine import Engine
    from pdm_tf.inference.session import open_session

    return Engine(open_session(onnx_file, provider="cpu")).upscale_array


@pytest.fixture(scope="module", params=["float32", "uint8"])
def server(onnx_file, request, tmp_path_factory):
    """HTTP and gRPC port of a running server."""
    http, rpc = free_ports(2)
    command = server_command(onnx_file, http, rpc, f"--dtype={request.param}")
    log = tmp_path_factory.mktemp("log") / "kserve.log"
    ready = f"http://127.0.0.1:{http}/v2/health/ready"
    with server_process(command, log, ready_url=ready):
        yield {"kserve_rest": http, "kserve_grpc": rpc, "dtype": request.param}


@pytest.mark.kserve
def test_it_listens_to_this_machine_alone(server):
    """In /proc/net/tcp addresses are hexadecimal; 0A is a listening socket."""
    listening = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            address, state = (line.split()[index] for index in (1, 3))
            host, _, port = address.partition(":")
            if state == "0A":
                listening.setdefault(int(port, 16), set()).add(host)
    for protocol in ("kserve_rest", "kserve_grpc"):
        assert listening[server[protocol]] <= LOOPBACK


@pytest.mark.kserve
@pytest.mark.parametrize("protocol", ["kserve_rest", "kserve_grpc"])
def test_a_photograph_comes_back_as_local_inference_makes_it(
    server, local, tmp_path, protocol
):
    """The answer (4.4 MB uint8, 17.7 MB float32) is above the default limits."""
    done = run_client(
        f"--server=localhost:{server[protocol]}",
        f"--protocol={protocol}",
        f"--input={PHOTO}",
        f"--output={tmp_path / 'sr.png'}",
    )
    assert done.returncode == program.OK, done.stderr
    assert "384x240 -> 1536x960" in done.stdout
    lr_u8 = read_rgb_u8(PHOTO)
    difference = np.abs(read_rgb_u8(tmp_path / "sr.png").astype(int) - local(lr_u8))
    # uint8: the same engine. float32: the whole image at once and not in tiles, whose
    # last bits differ, which shows where a value lies between two levels.
    assert difference.max() <= (server["dtype"] == "float32")
    assert np.mean(difference) < 1e-4


@pytest.mark.kserve
@pytest.mark.parametrize(
    ("protocol", "flag", "says"),
    [
        ("kserve_rest", "--model_name=nobody", "does not serve model nobody"),
        ("kserve_grpc", "--model_name=nobody", "does not serve model nobody"),
        # kserve ignores a version by gRPC.
        ("kserve_rest", "--version=2", "or not for one version"),
        ("kserve_rest", "--max_message_mb=1", "above --max_message_mb=1 (1048576 "),
        ("kserve_grpc", "--max_message_mb=1", "above --max_message_mb=1 (1048576 "),
    ],
)
def test_errors_are_explained(server, tmp_path, protocol, flag, says):
    done = call_client(
        f"--server=localhost:{server[protocol]}",
        f"--protocol={protocol}",
        flag,
        f"--input={PHOTO}",
        f"--output={tmp_path / 'sr.png'}",
    )
    assert done.returncode == program.BAD_INPUT
    assert says in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "sr.png").exists()


@pytest.mark.kserve
def test_a_plain_json_request(server, local, tmp_path):
    """The protocol's JSON form, without the binary extension and without our client."""
    _, lr_u8 = small_photo(tmp_path)
    lr_u8 = lr_u8[:5, :6]
    is_u8 = server["dtype"] == "uint8"
    body = {
        "inputs": [
            {
                "name": "image",
                "datatype": "UINT8" if is_u8 else "FP32",
                "shape": [1, 5, 6, 3],
                "data": (lr_u8 if is_u8 else lr_u8 / 255.0).ravel().tolist(),
            }
        ]
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{server['kserve_rest']}/v2/models/sr/infer",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        (output,) = json.load(answer)["outputs"]
    assert output["name"] == "sr" and output["shape"] == [1, 20, 24, 3]
    sr = np.reshape(output["data"], (20, 24, 3))
    expected = local(lr_u8).astype(float)
    if not is_u8:
        sr = np.clip(sr, 0, 1) * 255
    assert np.abs(sr - expected).max() <= (1e-9 if is_u8 else 0.51)


@pytest.mark.kserve
def test_a_server_with_a_limit_of_its_own(onnx_file, tmp_path):
    """The client cannot lift it, and says whose it is; SIGTERM ends the server."""
    http, rpc = free_ports(2)
    command = server_command(onnx_file, http, rpc, "--max_message_mb=1")
    ready = f"http://127.0.0.1:{http}/v2/health/ready"
    with server_process(command, tmp_path / "log", ready_url=ready) as process:
        done = call_client(
            f"--server=localhost:{rpc}",
            "--protocol=kserve_grpc",
            f"--input={PHOTO}",
            f"--output={tmp_path / 'sr.png'}",
        )
        assert done.returncode == program.BAD_INPUT
        size = 240 * 384 * 3 * 4
        sent = int(done.stderr.split("a message of ")[1].split(" bytes")[0])
        assert size <= sent < size + 200
        assert "above the server's limit of 1048576" in done.stderr
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.mark.kserve
def test_nobody_can_unload_the_model(server):
    from export.client import messages

    base = f"http://127.0.0.1:{server['kserve_rest']}"
    for action in ("unload", "load"):
        assert _status(f"{base}/v2/repository/models/sr/{action}", b"") == 404
    with grpc.insecure_channel(f"127.0.0.1:{server['kserve_grpc']}") as channel:
        for action in ("Unload", "Load"):
            method = channel.unary_unary(
                f"/inference.GRPCInferenceService/RepositoryModel{action}",
                request_serializer=lambda message: message.SerializeToString(),
            )
            # Its first field is the name, as in the repository's messages the second.
            named = messages.ModelMetadataRequest(version="sr")
            with pytest.raises(grpc.RpcError) as refused:
                method(named, timeout=20)
            assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    for path in ("/v2/models/sr", "/v2/models/sr/ready", "/v2/health/ready"):
        assert _status(f"{base}{path}") == 200


@pytest.mark.kserve
@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"no json",
        b'{"inputs": 3}',
        b'{"inputs": [{"name": "image", "shape": [1, 2, 2, 3], "datatype": "%s", '
        b'"data": [1, 2]}]}',
        b'{"inputs": [{"name": "image", "shape": [-1, 99999999999], "datatype": "%s", '
        b'"data": ["x"]}]}',
        b'{"inputs": [{"name": "image", "shape": [0, 2, 2, 3], "datatype": "%s", '
        b'"data": []}]}',
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("head", [None, "5", "-3", "x", "99999999999999999999"])
def test_a_bad_request_is_called_one(server, body, head):
    """400 or 422, never 500; the server goes on."""
    datatype = b"UINT8" if server["dtype"] == "uint8" else b"FP32"
    base = f"http://127.0.0.1:{server['kserve_rest']}"
    kind = "application/json" if head is None else "application/octet-stream"
    headers = {"Content-Type": kind}
    if head is not None:
        headers["Inference-Header-Content-Length"] = head
    body = body.replace(b"%s", datatype)
    assert _status(f"{base}/v2/models/sr/infer", body, headers) in (400, 422)
    assert _status(f"{base}/v2/health/ready") == 200


@pytest.mark.kserve
def test_a_model_that_fails_is_not_ready(onnx_file):
    """Without a server: its model, given a network that fails for a while."""
    import asyncio

    from export import kserve_server

    config = kserve_server.KserveServerConfig(model=str(onnx_file))
    kserve = kserve_server._import_kserve(config)

    class Failing:
        broken = False

        def __call__(self, images):
            if self.broken:
                raise MemoryError
            return images

        def works(self):
            return not self.broken

    network = Failing()
    model = kserve_server._model_class(kserve)(config, network)
    image = kserve.InferInput("image", [1, 2, 2, 3], "FP32")
    image.set_data_from_numpy(np.zeros([1, 2, 2, 3], np.float32))
    request = kserve.InferRequest("sr", [image])

    async def life():
        yield await model.healthy()
        network.broken = True
        with pytest.raises(RuntimeError, match="MemoryError"):
            await model.predict(request)
        yield await model.healthy()
        yield model.load()
        network.broken = False
        yield await model.healthy()

    async def lived():
        return [state async for state in life()]

    assert asyncio.run(lived()) == [True, False, False, True]


def _status(url, body=None, headers=None):
    request = urllib.request.Request(url, body, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_bad_flags_end_in_one_line(tmp_path, capfd):
    from export.kserve_server import SPEC, main
    from pdm_tf.cli import program

    for flags, says in (
        ((), "--model is required"),
        ((f"--model={tmp_path}/no.onnx",), "no.onnx"),
        (("--model=x", "--grpc_port=8080"), "must differ"),
    ):
        assert program.call(SPEC, main, flags) == program.BAD_INPUT
        assert says in capfd.readouterr().err
