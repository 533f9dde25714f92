"""Long runs that must stay flat: a server under mixed load, and small training steps.

    python -m tests.soak serve --seconds=3600 --out=soak
    python -m tests.soak train --steps=20000 --out=soak

`serve` needs kserve (`make test-services`): a small exported network on
`export.kserve_server`, called over HTTP and gRPC by the project's client with pictures
of many sizes, each answer compared with local inference, and every seventh request a
bad one, which must be refused. `train` runs `pdm_tf.train` with the smallest networks,
with checkpoints. Both log memory, handles and times of the process to OUT/NAME.jsonl,
and print the growth, by a line fitted to what comes after the first fifth, and whether
the times were stable: the last three windows within 10 % of their mean, as Triton's
load generator has it.
"""

import argparse
import contextlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
_STABLE = 0.1
_PAUSE_S = 0.25  # between requests: some three a second, a tenth of a core


def state_of(process: int) -> dict[str, float]:
    """Memory in MiB, and handles, threads and seconds of a running process."""
    place = Path(f"/proc/{process}")
    status = (place / "status").read_text()
    times = (place / "stat").read_text().rpartition(")")[2].split()[11:13]
    return {
        "rss_mib": int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024,
        "handles": len(os.listdir(place / "fd")),
        "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
        "cpu_s": sum(map(int, times)) / os.sysconf("SC_CLK_TCK"),
    }


def growth(rows: list[dict[str, float]], what: str, along: str, per: int) -> float:
    """How much `what` grows while `along` grows by `per`, after the first fifth."""
    rows = rows[len(rows) // 5 :]
    if len(rows) < 3:
        return float("nan")
    slope, _ = np.polyfit([row[along] for row in rows], [row[what] for row in rows], 1)
    return round(float(slope) * per, 4)


def are_stable(values: list[float]) -> bool:
    """Whether the last three are within 10 % of their mean."""
    last = values[-3:]
    mean = statistics.fmean(last)
    return len(last) == 3 and all(abs(x - mean) <= _STABLE * mean for x in last)


class Log:
    """Rows of measurements, in a file and in memory."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self.rows = path, []
        path.unlink(missing_ok=True)

    def add(self, **row: float) -> None:
        """Adds a row."""
        self.rows.append(row)
        with open(self._path, "a") as file:
            file.write(json.dumps(row) + "\n")


# The server


class _Asking:
    """Good and bad requests to one server, and what came of them."""

    def __init__(self, http: int, rpc: int, local) -> None:
        from export.client.errors import Asked
        from export.client.kserve import KserveGrpc, KserveRest

        named = {"model_name": "sr", "version": 0}
        self._good = []
        for kind, port in ((KserveRest, http), (KserveGrpc, rpc)):
            asked = Asked(f"127.0.0.1:{port}", "kserve", "model sr", "", 60.0, 0)
            self._good.append(kind(asked, **named))
        self._base, self._local = f"http://127.0.0.1:{http}", local
        self._chance, self._numbers = random.Random(1), np.random.default_rng(1)
        self.counts = Counter()

    def picture(self) -> np.ndarray:
        """[H, W, 3] uint8, small ones more often."""
        height, width = (int(2 ** self._chance.uniform(0, 7)) for _ in range(2))
        return self._numbers.integers(0, 256, [height, width, 3], np.uint8)

    def ask(self) -> float:
        """One request, compared; returns its seconds."""
        from export.client.payload import Payload
        from pdm_tf.core.images import decode_rgb_u8

        lr_u8 = self.picture()
        service = self._chance.choice(self._good)
        begun = time.perf_counter()
        try:
            png = service.upscale(Payload(lr_u8, b""))
        except Exception as error:  # noqa: BLE001 - counted, and the run goes on
            self.counts["failed"] += 1
            print(f"failed: {lr_u8.shape}: {error!r}", file=sys.stderr, flush=True)
            return time.perf_counter() - begun
        seconds = time.perf_counter() - begun
        same = np.array_equal(decode_rgb_u8(png, "answer"), self._local(lr_u8))
        self.counts["right" if same else "wrong"] += 1
        return seconds

    def ask_badly(self) -> None:
        """A request that must be refused by a code of its kind."""
        image = {"name": "image", "datatype": "UINT8", "shape": [1, 2, 2, 3]}
        infer, data = "/v2/models/sr/infer", [0] * 12
        path, body, headers, code = self._chance.choice(
            [
                (infer, {"inputs": [{**image, "data": [1, 2]}]}, {}, 400),
                (
                    infer,
                    {"inputs": [{**image, "datatype": "FP32", "data": data}]},
                    {},
                    400,
                ),
                (infer, {"inputs": [{**image, "name": "x", "data": data}]}, {}, 400),
                (infer, {"inputs": 3}, {}, 422),
                (infer, b"\0" * 1000, {"Inference-Header-Content-Length": "900"}, 400),
                (infer, b"x", {"Content-Length": str(1 << 40)}, 413),
                ("/v2/models/no/infer", {"inputs": [{**image, "data": data}]}, {}, 404),
                ("/v2/repository/models/sr/unload", b"", {}, 404),
                ("/v1/models/sr:predict", b"{}", {}, 404),
            ]
        )
        kind = (
            "application/json" if isinstance(body, dict) else "application/octet-stream"
        )
        body = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(
            self._base + path, body, {"Content-Type": kind, **headers}
        )
        try:
            urllib.request.urlopen(request, timeout=60).close()
            got = 200
        except urllib.error.HTTPError as error:
            error.close()
            got = error.code
        except OSError as error:
            got = f"{error!r}"
        self.counts["refused" if got == code else "not refused"] += 1
        if got != code:
            print(
                f"not refused: {path} {body[:90]} -> {got}", file=sys.stderr, flush=True
            )


def serve(out: Path, seconds: int, window_s: int) -> dict[str, object]:
    """Asks a server of its own for a while; returns the figures."""
    from pdm_tf.inference.engine import Engine
    from pdm_tf.inference.session import open_session
    from tests.support.serving import (
        free_ports,
        server_command,
        server_process,
        small_onnx,
    )

    out.mkdir(parents=True, exist_ok=True)
    model = small_onnx(out / "model")
    session = open_session(model, provider="cpu", threads=1, spinning=False)
    http, rpc = free_ports(2)
    asking, log = (
        _Asking(http, rpc, Engine(session).upscale_array),
        Log(out / "serve.jsonl"),
    )
    command = server_command(model, http, rpc, "--dtype=uint8", "--threads=1")
    ready = f"http://127.0.0.1:{http}/v2/health/ready"
    with server_process(
        command, out / "server.log", ready_url=ready, seconds=300
    ) as one:
        begun = time.monotonic()
        while time.monotonic() - begun < seconds and one.poll() is None:
            window, took, asked = time.monotonic(), [], 0
            while time.monotonic() - window < window_s or not took:
                if asked % 7 == 6:
                    asking.ask_badly()
                else:
                    took.append(asking.ask())
                asked += 1
                time.sleep(_PAUSE_S)
            took.sort()
            log.add(
                minutes=round((time.monotonic() - begun) / 60, 1),
                requests=sum(asking.counts.values()),
                per_s=round(asked / (time.monotonic() - window), 3),
                p50_ms=round(took[len(took) // 2] * 1000, 2),
                p95_ms=round(took[int(len(took) * 0.95)] * 1000, 2),
                client_mib=round(state_of(os.getpid())["rss_mib"], 1),
                **state_of(one.pid),
                **asking.counts,
            )
        ended = one.poll()
    rows = log.rows
    return {
        "requests": sum(asking.counts.values()),
        **asking.counts,
        "minutes": rows[-1]["minutes"],
        "server_ended": ended,
        "rss_mib": [round(rows[0]["rss_mib"], 1), round(rows[-1]["rss_mib"], 1)],
        "handles": [rows[0]["handles"], rows[-1]["handles"]],
        "rss_mib_per_10000": growth(rows, "rss_mib", "requests", 10_000),
        "handles_per_10000": growth(rows, "handles", "requests", 10_000),
        "client_mib_per_10000": growth(rows, "client_mib", "requests", 10_000),
        "p50_ms": [rows[0]["p50_ms"], rows[-1]["p50_ms"]],
        "latency_stable": are_stable([row["p50_ms"] for row in rows]),
        "throughput_stable": are_stable([row["per_s"] for row in rows]),
    }


# Training

_TRAIN = (
    *("--method=supervised", "--sr_net=edsr", "--scale=2", "--batch_size=1"),
    *("--sr_arg=num_blocks=1", "--sr_arg=filters=4", "--lr_patch=8", "--report=off"),
    *("--hr_dir=tests/data/stored/hr", "--estimate=off", "--validate_every=0"),
    *("--preview_every=0", "--save_every=2000", "--progress=off", "--threads=1"),
)


def train(out: Path, steps: int, every: int) -> dict[str, object]:
    """Trains the smallest networks; returns the figures."""
    from pdm_tf.run import read_metrics

    out.mkdir(parents=True, exist_ok=True)
    run, log = out / "run", Log(out / "train.jsonl")
    command = [sys.executable, "-m", "pdm_tf.train", *_TRAIN, f"--run_dir={run}"]
    command += [f"--steps={steps}", f"--log_every={every}"]
    with open(out / "train.log", "wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        seen = 0
        while process.poll() is None:
            time.sleep(0.2)
            records = read_metrics(run / "metrics.jsonl")
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, TypeError):
                if records and records[-1]["step"] > seen:
                    seen = records[-1]["step"]
                    log.add(step=seen, at_s=time.monotonic(), **state_of(process.pid))
    rows = log.rows
    pairs = list(zip(rows, rows[1:], strict=False))
    took = [
        (b["cpu_s"] - a["cpu_s"]) / (b["step"] - a["step"]) * 1000 for a, b in pairs
    ]
    for row, ms in zip(rows[1:], took, strict=True):
        row["cpu_ms"] = ms
    return {
        "steps": seen,
        "code": process.returncode,
        "minutes": round((rows[-1]["at_s"] - rows[0]["at_s"]) / 60, 1),
        "rss_mib": [round(rows[0]["rss_mib"], 1), round(rows[-1]["rss_mib"], 1)],
        "handles": [rows[0]["handles"], rows[-1]["handles"]],
        "rss_mib_per_1000": growth(rows, "rss_mib", "step", 1000),
        "handles_per_1000": growth(rows, "handles", "step", 1000),
        "cpu_ms_per_step": [round(took[1], 3), round(took[-1], 3)],
        "cpu_ms_per_step_per_1000": growth(rows[1:], "cpu_ms", "step", 1000),
        "step_time_stable": are_stable(took),
    }


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser("python -m tests.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=("serve", "train"))
    parser.add_argument("--seconds", type=int, default=3600, help="of serving")
    parser.add_argument("--window", type=int, default=60, help="seconds of one row")
    parser.add_argument("--steps", type=int, default=20_000, help="of training")
    parser.add_argument("--every", type=int, default=500, help="steps of one row")
    parser.add_argument("--out", type=Path, default=Path("soak"))
    asked = parser.parse_args()
    out = asked.out.resolve()
    if asked.what == "serve":
        figures = serve(out, asked.seconds, asked.window)
    else:
        figures = train(out, asked.steps, asked.every)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
