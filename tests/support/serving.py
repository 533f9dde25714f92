"""For the tests with servers: a small exported model, the client, processes, ports."""

import contextlib
import io
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PHOTO = REPOSITORY / "pdm_tf" / "samples" / "photos_for_validation" / "waterfront.jpg"


def small_bundle(folder):
    """Saves a small EDSR x4 with fixed weights as a bundle; returns its folder."""
    import keras

    from pdm_tf.bundles.bundle import save_bundle
    from pdm_tf.models.sr.edsr import EDSRConfig

    keras.utils.set_random_seed(7)
    network = EDSRConfig(num_blocks=1, filters=4, scale=4).build()
    network.build((None, None, None, 3))
    save_bundle(network, folder / "sr", step=5)
    return folder / "sr"


def run_client(*flags, timeout=60):
    """Runs `python -m export.client`; returns the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "export.client", *map(str, flags)],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def call_client(*flags):
    """Runs the client in this process, which is quicker: for errors, small pictures."""
    from export.client.__main__ import SPEC, main
    from pdm_tf.cli import program

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = program.call(SPEC, main, [str(flag) for flag in flags])
    return subprocess.CompletedProcess(flags, code, out.getvalue(), err.getvalue())


def free_ports(count):
    """Returns ports that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def server_process(command, log, *, ready_url, seconds=60, cwd=None, env=None):
    """Runs a server until it is ready, and ends it and its children in all cases.

    It gets a session of its own, so that what it started ends with it.
    """
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd or REPOSITORY,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | (env or {}),
            start_new_session=True,
        )
        try:
            _wait_until_ready(process, ready_url, seconds, log)
            yield process
        finally:
            _end(process)


def _wait_until_ready(process, url, seconds, log):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with opener.open(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    text = Path(log).read_text(errors="replace")[-3000:]
    raise AssertionError(f"the server was not ready within {seconds} s:\n{text}")


def _end(process):
    for number, patience in ((15, 10), (9, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        if process.poll() is not None:
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)  # children that outlived it


def small_photo(folder, name="photo.png"):
    """Writes 40 x 30 pixels of the photograph; returns (file, pixels)."""
    from pdm_tf.core.images import read_rgb_u8, write_png

    lr_u8 = read_rgb_u8(PHOTO)[100:130, 150:190]
    write_png(folder / name, lr_u8)
    return folder / name, lr_u8


def small_onnx(folder):
    """Writes the network of `small_bundle` as ONNX, as `python -m export` does."""
    from export.onnx_graph import network_to_onnx
    from pdm_tf.bundles.bundle import load_bundle

    network = load_bundle(small_bundle(folder)).network
    return network_to_onnx(network, folder / "model.onnx")


def server_command(onnx_file, http_port, grpc_port, *flags):
    """The command of our KServe server on the CPU."""
    return [
        sys.executable,
        "-m",
        "export.kserve_server",
        f"--model={onnx_file}",
        f"--http_port={http_port}",
        f"--grpc_port={grpc_port}",
        "--provider=cpu",
        *flags,
    ]
