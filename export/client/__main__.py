"""Upscales photographs on a model server: `python -m export.client --help`.

Imports neither TensorFlow nor onnxruntime: a client machine needs NumPy, Pillow, grpcio
and protobuf.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from export.client.errors import Asked, RequestError, ServerError
from export.client.flags import SPEC, ClientConfig
from export.client.service import Payload, Service
from pdm_tf.cli import program
from pdm_tf.cli.flags_prepare import SOME_LEFT_OUT
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_bytes_atomic
from pdm_tf.core.images import (
    IMAGE_SUFFIXES,
    encode_png,
    image_size,
    list_images,
    read_rgb_u8,
)

_PICTURES = (*IMAGE_SUFFIXES, ".tif", ".tiff", ".gif")

Task = tuple[Path, Path]  # photograph, PNG to be written


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
        return SOME_LEFT_OUT if done else program.BAD_INPUT
    return program.OK


def plan(source: Path, target: Path) -> list[Task]:
    """Returns which photograph becomes which PNG.

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
    inputs = {photograph.resolve() for photograph in photographs}
    made: dict[Path, Path] = {}
    for photograph, path in zip(photographs, targets, strict=True):
        if path.resolve() in inputs:
            raise UserError(f"--output would overwrite the input {path}.")
        other = made.setdefault(path, photograph)
        if other != photograph:
            raise UserError(f"{other} and {photograph} would both become {path}.")
    return list(zip(photographs, targets, strict=True))


def _is_picture(path: Path) -> bool:
    """Whether a name is that of a picture and not of a folder."""
    return path.suffix.lower() in _PICTURES and not path.is_dir()


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
    # Imported here: REST needs no grpc.
    if config.protocol == "grpc":
        from export.client.grpc import TfServingGrpc

        return TfServingGrpc(asked, model_name=name, version=version, label=label)
    if config.protocol == "rest":
        from export.client.rest import TfServingRest

        return TfServingRest(asked, model_name=name, version=version, label=label)
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
