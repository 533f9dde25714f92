"""Upscales photographs on a model server: `python -m export.client --help`.

Imports neither TensorFlow nor onnxruntime: a client machine needs NumPy, Pillow, grpcio
and protobuf.
"""

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from export.client.errors import Asked, RequestError, ServerError
from export.client.payload import Payload, Service
from export.signatures import SIGNATURES, check_name
from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import check_flags, lookup
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import fitting_name, write_bytes_atomic
from pdm_tf.core.images import (
    IMAGE_SUFFIXES,
    encode_png,
    image_size,
    list_images,
    read_rgb_u8,
)

_SERVER = re.compile(r"[A-Za-z0-9_.-]+:\d{1,5}|\[[0-9A-Fa-f:.]+\]:\d{1,5}")


@dataclass(frozen=True)
class ClientConfig:
    """The request to the client; the fields are the flags.

    Raises:
      UserError: a required flag is missing, or a value cannot be used.
    """

    input: str = flag(
        "",
        "A photograph (PNG, JPEG, WebP, TIFF, BMP, still GIF), or a folder of them, "
        "searched recursively. Required.",
        required=True,
        section="Pictures",
    )
    output: str = flag(
        "",
        "Target of the PNG: a file NAME.png for one photograph, or a folder, made if "
        "missing, which gets a folder's sub-folders. Required.",
        required=True,
    )
    send: Literal["png", "file"] = flag(
        "png",
        "`png`: the decoded photograph, upright and 8 bit, as PNG. `file`: the file's "
        "unchanged bytes (JPEG stays small); the server then ignores EXIF "
        "orientation and colour profiles.",
    )
    server: str = flag(
        "localhost:8500",
        "HOST:PORT. TF Serving: 8500 (gRPC), 8501 (REST); Triton: 8001 and "
        "8000; KServe: 8081 and 8080.",
        section="Server",
    )
    protocol: Literal["grpc", "rest", "kserve_grpc", "kserve_rest"] = flag(
        "grpc",
        "`grpc` and `rest` are TF Serving's; `kserve_grpc` and "
        "`kserve_rest` the Open Inference Protocol of Triton and KServe.",
    )
    model_name: str = flag("sr", "Name of the model on the server.")
    version: int = flag(
        0, "Version number of the model; 0 leaves the choice to the server.", at_least=0
    )
    label: str = flag("", "Version label of TF Serving, such as `stable`.")
    signature: str = flag(
        "serving_bytes",
        "TF Serving only: serving_bytes (files), serving_uint8 or "
        "serving_default (float32). By REST the last two send every number as text.",
    )
    timeout: float = flag(
        120.0,
        "Seconds for one photograph (by REST: seconds without a byte).",
        section="Limits",
    )
    max_message_mb: int = flag(
        0,
        "Largest message accepted, in MiB; 0: no limit but the format's 2 GiB.",
        at_least=0,
    )
    parallel: int = flag(
        1,
        "Photographs under way at once; a server that batches needs more than 1.",
        at_least=1,
    )

    def __post_init__(self) -> None:
        check_flags(self, "export.client")
        if not _SERVER.fullmatch(self.server):
            raise UserError(
                "--server is written HOST:PORT, without http://. "
                f"Received: {self.server!r}."
            )
        lookup(SIGNATURES, self.signature, "--signature")
        check_name(self.model_name)
        if self.label:
            check_name(self.label, "--label")
        if not 0 < self.timeout < float("inf"):
            raise UserError(f"--timeout must be above 0. Received: {self.timeout}.")
        if self.max_message_mb > 2047:
            raise UserError(
                "--max_message_mb is at most 2047, the limit of the message format; 0 "
                f"sets no lower one. Received: {self.max_message_mb}."
            )
        if self.version and self.label:
            raise UserError("Give --version or --label, not both.")
        if self.label and self.protocol.startswith("kserve"):
            raise UserError(
                f"--label is TF Serving's; --protocol={self.protocol} knows --version."
            )
        if self.send == "file" and (
            self.signature != "serving_bytes" or self.protocol.startswith("kserve")
        ):
            raise UserError(
                "--send=file needs --signature=serving_bytes and TF Serving; the "
                "others take pixels."
            )


SPEC = ProgramSpec(
    module="export.client",
    config=ClientConfig,
    intro="Sends photographs to a super-resolution model on TF Serving, Triton or "
    "KServe and writes the answers as PNG, each in full or not at all. Every file is "
    "decoded here first, so that a damaged one is named and costs the others nothing. "
    "Exit code: 0 when all were done, 1 when some were left out, 2 when none could be "
    "done.",
    examples=(
        "python -m export.client --input=photo.png --output=photo_x4.png",
        "python -m export.client --server=localhost:8501 --protocol=rest "
        "--input=photos --output=photos_x4",
        "python -m export.client --server=localhost:8000 --protocol=kserve_rest "
        "--input=photo.png --output=photo_x4.png",
    ),
)

Task = tuple[Path, Path]  # photograph, PNG to write


def main(config: ClientConfig) -> int:
    """Sends everything; returns the exit code."""
    tasks = plan(Path(config.input), Path(config.output))
    service = open_service(config)
    try:
        print(f"{config.server}: {service.check()}")
        done, failed = _run(service, tasks, config)
    finally:
        service.close()
    summary = f"{done} of {len(tasks)} photographs upscaled"
    print(f"{summary}, {failed} left out: {config.output}" if failed else summary)
    if failed:
        return program.SOME_LEFT_OUT if done else program.BAD_INPUT
    return program.OK


def plan(source: Path, target: Path) -> list[Task]:
    """Returns pairs of a photograph and its PNG.

    Below a folder, `a/b.jpg` becomes `a/b.png`; where two files would meet, as b.jpg
    and b.webp do, both keep their suffix: `a/b.jpg.png`.

    Raises:
      UserError: nothing to do, `target` does not fit `source`, or an input would be
        overwritten.
    """
    if source.is_dir():
        if _is_picture(target) or target.is_file():
            raise UserError(
                f"A folder's results need a folder. Received: --output={target}."
            )
        photographs = list_images(source)
        names = [photograph.relative_to(source) for photograph in photographs]
        count = Counter(name.with_suffix(".png") for name in names)
        targets = []
        for name in names:
            png = name.with_suffix(".png")
            alone = count[png] == 1
            targets.append(target / (png if alone else f"{name.as_posix()}.png"))
    else:
        if not source.exists():
            raise UserError(f"There is no file or folder {source}.")
        photographs = [source]
        if _is_picture(target) and target.suffix.lower() != ".png":
            raise UserError(
                f"The client writes PNG: --output=NAME.png. Received: {target}."
            )
        targets = [target if _is_picture(target) else target / f"{source.stem}.png"]
    targets = [target.with_name(fitting_name(target.name)) for target in targets]
    inputs = {os.path.realpath(photograph) for photograph in photographs}
    made: dict[Path, Path] = {}
    for photograph, path in zip(photographs, targets, strict=True):
        if os.path.realpath(path) in inputs:
            raise UserError(f"--output would overwrite the input {path}.")
        other = made.setdefault(path, photograph)
        if other != photograph:
            raise UserError(f"{other} and {photograph} would both become {path}.")
    return list(zip(photographs, targets, strict=True))


def _is_picture(path: Path) -> bool:
    """Whether a name is that of a picture and not of a folder."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()


def open_service(config: ClientConfig) -> Service:
    """Returns the model on the server; no connection is made yet."""
    model = f"model {config.model_name}"
    if config.version:
        model += f" version {config.version}"
    if config.label:
        model += f" label {config.label}"
    asked = Asked(
        server=config.server,
        protocol=config.protocol,
        model=model,
        signature="" if config.protocol.startswith("kserve") else config.signature,
        timeout=config.timeout,
        max_message_mb=config.max_message_mb,
    )
    name, version, label = config.model_name, config.version, config.label
    # Imported here: --help needs no grpc.
    if config.protocol in ("grpc", "rest"):
        from export.client.tf_serving import TfServingGrpc, TfServingRest

        served = TfServingGrpc if config.protocol == "grpc" else TfServingRest
        return served(asked, model_name=name, version=version, label=label)
    from export.client.kserve import KserveGrpc, KserveRest

    kind = KserveGrpc if config.protocol == "kserve_grpc" else KserveRest
    return kind(asked, model_name=name, version=version)


def send_one(service: Service, task: Task, send: str) -> str:
    """Sends one photograph and writes the answer; returns the line to print.

    Raises:
      UserError: it could not be read, sent, or written; ServerError: none can be sent.
    """
    start = time.perf_counter()
    source, target = task
    lr_u8 = read_rgb_u8(source)
    file = source.read_bytes() if send == "file" else encode_png(lr_u8)
    png = service.upscale(Payload(lr_u8, file))
    try:
        write_bytes_atomic(target, png)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}.") from error
    height, width = image_size(target)
    seconds = time.perf_counter() - start
    return (
        f"{source}: {lr_u8.shape[1]}x{lr_u8.shape[0]} -> {width}x{height}, "
        f"{seconds:.2f} s: {target}"
    )


def _run(
    service: Service, tasks: Sequence[Task], config: ClientConfig
) -> tuple[int, int]:
    """Sends all, `config.parallel` at once; returns how many were done and failed.

    Raises:
      ServerError: the server is gone, or cannot be used as asked.
    """
    done = failed = 0
    waiting = list(reversed(tasks))
    under_way: dict[Future[str], Task] = {}
    with ThreadPoolExecutor(config.parallel) as pool:
        while waiting or under_way:
            while waiting and len(under_way) < config.parallel:
                task = waiting.pop()
                future = pool.submit(send_one, service, task, config.send)
                under_way[future] = task
            finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in finished:
                task = under_way.pop(future)
                try:
                    print(future.result())
                    done += 1
                except ServerError:
                    raise
                except UserError as error:
                    failed += 1
                    print(f"left out: {_named(task, error)}", file=sys.stderr)
    return done, failed


def _named(task: Task, error: UserError) -> str:
    """The error with the photograph's name in front; an ImageError has it already."""
    return f"{task[0]}: {error}" if isinstance(error, RequestError) else str(error)


if __name__ == "__main__":
    program.run(SPEC, main)
