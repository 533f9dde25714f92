"""The exported Triton repository on a real Triton server, called by the client program.

The server is NVIDIA's tritonserver 2.51 out of the wheel nvidia-pytriton 0.7.0, on the
CPU. That wheel has no onnxruntime backend, so one line of the exported `config.pbtxt`
is changed, `backend:`, and a Python model runs `model.onnx` by onnxruntime
(`triton_python_model.py`); everything else of the file is used as it was written.

It gets an environment of its own, because the wheel wants Triton's Python stub to find
the shared library of the very interpreter: /usr/bin/python3 with its libpython (Debian:
apt-get install python3-venv libpython3.11). Skipped with the reason where that, or the
network for pip, is missing.
"""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pdm_tf.cli import program
from pdm_tf.core.images import read_rgb_u8, write_png
from tests.support.serving import (
    PHOTO,
    free_ports,
    run_client,
    server_process,
    small_onnx,
)

pytestmark = pytest.mark.slow

PYTHON = "/usr/bin/python3"
MODEL = Path(__file__).with_name("triton_python_model.py")


class Triton:
    """Where the server's parts are."""

    def __init__(self, environment):
        (self.packages,) = environment.glob("lib/python3.*/site-packages")
        self.version = self.packages.parent.name.removeprefix("python")
        self.root = self.packages / "pytriton" / "tritonserver"
        self.binary = self.root / "bin" / "tritonserver"
        stubs = self.root / "python_backend_stubs"
        self.stub = stubs / self.version / "triton_python_backend_stub"
        self.env = {
            "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": str(self.packages / "nvidia_pytriton.libs"),
            "PYTHONPATH": str(self.packages),
            "ORT_DISABLE_TELEMETRY": "1",
        }

    def command(self, repository, backends, http=8000, rpc=8001):
        return [
            self.binary,
            f"--model-repository={repository}",
            f"--backend-directory={backends}",
            "--allow-metrics=false",
            f"--http-port={http}",
            f"--grpc-port={rpc}",
            "--http-address=127.0.0.1",
            "--grpc-address=127.0.0.1",
        ]


@pytest.fixture(scope="module")
def triton(tmp_path_factory):
    """The server's parts in a fresh environment; skips where it cannot be made."""
    environment = tmp_path_factory.mktemp("triton") / "venv"
    if not Path(PYTHON).exists():
        pytest.skip(f"needs {PYTHON} with its shared library; there is none")
    _or_skip([PYTHON, "-m", "venv", environment], "apt-get install python3-venv", 120)
    pip = [environment / "bin" / "python", "-m", "pip", "install", "-q"]
    why = "pip has to reach a package index"
    # --no-deps: of the wheel only the server is used, not the Python package around it.
    _or_skip([*pip, "--no-deps", "nvidia-pytriton==0.7.0"], why, 600)
    _or_skip([*pip, "numpy<2", "onnxruntime>=1.20,<1.24"], why, 600)
    triton = Triton(environment)
    if not triton.stub.exists():
        pytest.skip(f"the wheel has no stub for Python {triton.version} of {PYTHON}")
    libraries = subprocess.run(
        ["ldd", triton.stub],
        capture_output=True,
        text=True,
        env=os.environ | triton.env,
    ).stdout
    missing = [line.strip() for line in libraries.splitlines() if "not found" in line]
    if missing:
        pytest.skip(f"apt-get install libpython{triton.version}: {missing}")
    return triton


def _or_skip(command, advice, seconds):
    try:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=seconds,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{command[-1]}: not done within {seconds} s; {advice}")
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        pytest.skip(f"{command[-1]}: {lines[-1] if lines else 'failed'}; {advice}")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """model.onnx and serving/, as `python -m export` lays them out."""
    from export.serving_files import write_serving_files

    output = tmp_path_factory.mktemp("exported")
    small_onnx(output)
    write_serving_files(output, model_name="sr", scale=4, version=2, tile=64)
    return output


@pytest.fixture(scope="module")
def server(triton, exported, tmp_path_factory):
    """Ports and log of the running server."""
    folder = tmp_path_factory.mktemp("run")
    repository, backends = folder / "repository", folder / "backends"
    shutil.copytree(exported / "serving" / "triton", repository)
    config = repository / "sr" / "config.pbtxt"
    text = config.read_text()
    assert text.count('backend: "onnxruntime"') == 1
    config.write_text(text.replace('backend: "onnxruntime"', 'backend: "python"'))
    shutil.copy(MODEL, repository / "sr" / "2" / "model.py")
    shutil.copytree(triton.root / "backends", backends)
    shutil.copy(triton.stub, backends / "python")
    http, rpc = free_ports(2)
    log = folder / "triton.log"
    with server_process(
        triton.command(repository, backends, http, rpc),
        log,
        ready_url=f"http://127.0.0.1:{http}/v2/models/sr/ready",
        seconds=120,
        env=triton.env,
    ):
        yield {"kserve_rest": http, "kserve_grpc": rpc, "log": log}


@pytest.fixture(scope="module")
def local(exported):
    """lr_u8 -> sr_u8 by `pdm_tf.inference`, without a server."""
    from pdm_tf.inference.engine import Engine
    from pdm_tf.inference.session import open_session

    engine = Engine(open_session(exported / "model.onnx", provider="cpu"))
    return engine.upscale_array


def _difference(path, expected):
    return np.abs(read_rgb_u8(path).astype(int) - expected)


@pytest.mark.parametrize("protocol", ["kserve_rest", "kserve_grpc"])
def test_a_photograph_comes_back_as_local_inference_makes_it(
    server, local, tmp_path, protocol
):
    done = run_client(
        f"--server=localhost:{server[protocol]}",
        f"--protocol={protocol}",
        f"--input={PHOTO}",
        f"--output={tmp_path / 'sr.png'}",
    )
    assert done.returncode == program.OK, done.stderr
    assert "sr: version 2" in done.stdout
    difference = _difference(tmp_path / "sr.png", local(read_rgb_u8(PHOTO)))
    print(f"{protocol}: {difference.max()} levels, {np.count_nonzero(difference)} px")
    # Two versions of onnxruntime, whole image against tiles: ties of rounding only.
    assert difference.max() <= 1 and np.mean(difference) < 1e-4


def test_batches_of_the_server_never_mix_sizes(server, local, tmp_path):
    """Many at once, of two sizes: each answer is its picture's, none is padded."""
    lr_u8 = read_rgb_u8(PHOTO)
    cuts = {}
    for index in range(36):
        height = 40 if index % 2 else 48
        cuts[f"{index}.png"] = lr_u8[index : index + height, 50:114]
        write_png(tmp_path / "in" / f"{index}.png", cuts[f"{index}.png"])
    done = run_client(
        f"--server=localhost:{server['kserve_grpc']}",
        "--protocol=kserve_grpc",
        "--parallel=12",
        f"--input={tmp_path / 'in'}",
        f"--output={tmp_path / 'out'}",
    )
    assert done.returncode == program.OK, done.stderr
    for name, cut in cuts.items():
        assert _difference(tmp_path / "out" / name, local(cut)).max() <= 1
    batches = [
        line for line in server["log"].read_text().splitlines() if "batch of" in line
    ]
    mixed = [line for line in batches if ", 40, 64" in line and ", 48, 64" in line]
    assert batches and not mixed
    assert any(line.count("(1, 4") > 1 for line in batches), "nothing was batched"


@pytest.mark.parametrize("protocol", ["kserve_rest", "kserve_grpc"])
@pytest.mark.parametrize("flag", ["--model_name=nobody", "--version=7"])
def test_unknown_models_and_versions(server, tmp_path, protocol, flag):
    done = run_client(
        f"--server=localhost:{server[protocol]}",
        f"--protocol={protocol}",
        flag,
        f"--input={PHOTO}",
        f"--output={tmp_path / 'sr.png'}",
    )
    assert done.returncode == program.BAD_INPUT
    assert "does not serve model" in done.stderr
    assert "Request for unknown model" in done.stderr


def test_the_repository_as_written_lacks_only_the_backend(triton, exported):
    """Unchanged, the server reads all of it and misses just its onnxruntime backend."""
    http, rpc = free_ports(2)
    repository = exported / "serving" / "triton"
    done = subprocess.run(
        triton.command(repository, triton.root / "backends", http, rpc),
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | triton.env,
    )
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "unable to find backend library for backend 'onnxruntime'" in text
