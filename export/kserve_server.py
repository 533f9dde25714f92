"""Serves an ONNX file over KServe's protocol: `python -m export.kserve_server --help`.

KServe's Python server around the project's own inference. What kserve 0.21 does
otherwise than a server should is dealt with here: it reads `sys.argv` while it is
imported, listens everywhere, lets anybody unload the model, takes HTTP bodies of any
size and gRPC messages of 8 MiB, and says that it is ready whatever the model does.
"""

import asyncio
import json
import re
import struct
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from export.signatures import check_name
from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag, sha256_flag
from pdm_tf.core.checks import check_flags
from pdm_tf.core.errors import UserError
from pdm_tf.inference.engine import Engine
from pdm_tf.inference.session import open_session


@dataclass(frozen=True)
class KserveServerConfig:
    """The request to the server; the fields are the flags.

    Raises:
      UserError: a required flag is missing, or a value cannot be used.
    """

    model: str = flag(
        "",
        "ONNX file of python -m export. Required.",
        section="Model",
        required=True,
    )
    sha256: str = sha256_flag("--model")
    model_name: str = flag("sr", "Name under which clients ask for it.")
    dtype: Literal["float32", "uint8"] = flag(
        "float32",
        "Type of the model's input and output. `uint8`: a quarter of the bytes on "
        "the wire, and large images are cut into tiles, so that memory stays small. "
        "`float32`: the ONNX file's own contract, as Triton serves it; whole images.",
    )
    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = flag(
        "auto", "Device that computes: auto takes the GPU if it works."
    )
    tile: int = flag(
        0,
        "Side of a tile in LR pixels with --dtype=uint8; 0 chooses.",
        at_least=0,
    )
    threads: int = flag(
        0,
        "Threads of the network on the CPU; 0 takes one per core.",
        at_least=0,
    )
    host: str = flag(
        "127.0.0.1",
        "Address to listen on: the default is for this machine alone; 0.0.0.0 lets in "
        "everybody who reaches this machine (there is no password).",
        section="Server",
    )
    http_port: int = flag(
        8080, "Port of HTTP: /v2/models/NAME/infer, /v2/health/ready."
    )
    grpc_port: int = flag(8081, "Port of gRPC: inference.GRPCInferenceService.")
    max_message_mb: int = flag(
        64,
        "Largest request in MiB, over HTTP and gRPC, refused before it is read; 64 is "
        "5.6 megapixels in float32 and 22 in uint8. Answers have no limit. 0: only the "
        "format's 2 GiB.",
        at_least=0,
    )

    def __post_init__(self) -> None:
        check_flags(self, "export.kserve_server")
        check_name(self.model_name)
        for name in ("http_port", "grpc_port"):
            if not 0 < getattr(self, name) < 65536:
                raise UserError(
                    f"--{name} must be 1 to 65535. Received: {getattr(self, name)}."
                )
        if self.http_port == self.grpc_port:
            raise UserError(
                f"--http_port and --grpc_port must differ. Received: {self.http_port}."
            )
        if self.max_message_mb > 2047:
            raise UserError(
                "--max_message_mb is at most 2047, the limit of the message format. "
                f"Received: {self.max_message_mb}."
            )


SPEC = ProgramSpec(
    module="export.kserve_server",
    config=KserveServerConfig,
    intro="Serves an exported ONNX file by the Open Inference Protocol (KServe v2), "
    "over HTTP and gRPC, to this machine alone unless --host says otherwise; needs "
    "`pip install kserve`. Ctrl-C or SIGTERM ends it. `python -m export.client "
    "--protocol=kserve_rest` is a client.",
    examples=(
        "python -m export.kserve_server --model=exported/model.onnx",
        "python -m export.kserve_server --model=exported/model.onnx --dtype=uint8 "
        "--provider=cuda",
    ),
)


class Upscaler:
    """Batches of images through one network, float32 or uint8 as they come."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """[B, H, W, 3] float32 or uint8 -> [B, H*s, W*s, 3] of the same type."""
        if images.dtype == np.uint8:
            return np.stack([self._engine.upscale_array(image) for image in images])
        return self._engine.session.run(images)

    def works(self) -> bool:
        """Whether a small grey image becomes an image."""
        try:
            sr = self._engine.session.run(np.full([1, 8, 8, 3], 0.5, np.float32))
        except Exception:  # noqa: BLE001 - whatever it is, the model does not answer
            return False
        side = 8 * self._engine.session.info.scale
        return sr.shape == (1, side, side, 3) and bool(np.isfinite(sr).all())


_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]

# Requests at once, over HTTP and over gRPC; each may hold a body while it waits.
_MOST_REQUESTS = 32
_MODEL = r"/v2/models/[^/]+(/versions/[^/]+)?"
_OPEN = {
    "GET": re.compile(
        rf"/(metrics|v2(/health/(live|ready)|/models)?)?|{_MODEL}(/ready)?"
    ),
    "POST": re.compile(rf"{_MODEL}/infer"),
}


# What kserve raises while it takes a request apart, which it does without looking; our
# model raises RuntimeError for what is not the request's fault.
BAD_REQUEST = (
    *(ValueError, LookupError, TypeError, AttributeError, OverflowError),
    struct.error,
)


class Door:
    """What of the HTTP server can be reached: an ASGI application around another.

    Health, metadata, metrics and inference pass; the rest of kserve's paths, among them
    those that load and unload models, are not there. A body above the limit is refused
    by its stated length, or where it grows above it, and is not kept.
    """

    def __init__(self, app: _App, most_bytes: int) -> None:
        self._app, self._most_bytes, self._inside = app, most_bytes, 0

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path = _OPEN.get(scope["method"])
        if path is None or not path.fullmatch(scope["path"]):
            return await _refuse(send, 404, "there is no such path")
        if scope["method"] == "GET":
            return await self._app(scope, receive, send)
        if self._inside >= _MOST_REQUESTS:
            return await _refuse(send, 503, f"a queue of {self._inside} requests waits")
        self._inside += 1
        try:
            return await self._limited(scope, receive, send)
        finally:
            self._inside -= 1

    async def _limited(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        too_large = f"a request may have {self._most_bytes} bytes (--max_message_mb)"
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if not stated.isdigit() or int(stated) > self._most_bytes:
            return await _refuse(send, 413, f"{too_large}; this one has {stated!r:.40}")
        taken, refused = 0, False

        async def counted() -> _Message:
            nonlocal taken, refused
            message = await receive()
            taken += len(message.get("body", b""))
            if taken <= self._most_bytes:
                return message
            if not refused:
                refused = True
                await _refuse(send, 413, too_large)
            return {"type": "http.disconnect"}

        async def unless_refused(message: _Message) -> None:
            if not refused:
                await send(message)

        await self._app(scope, counted, unless_refused)


async def _refuse(send: _Send, status: int, why: str) -> None:
    """Answers with an error, and ends the connection: the body is not waited for."""
    body = json.dumps({"error": why}).encode()
    headers = {
        b"content-type": b"application/json",
        b"content-length": str(len(body)).encode(),
        b"connection": b"close",
    }
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": list(headers.items()),
        }
    )
    await send({"type": "http.response.body", "body": body})


def main(config: KserveServerConfig) -> None:
    """Serves until a signal comes."""
    session = open_session(
        config.model,
        provider=config.provider,
        threads=config.threads,
        sha256=config.sha256,
    )
    upscaler = Upscaler(Engine(session, tile=config.tile))
    if not upscaler.works():
        raise UserError(
            "--model must turn an image into a larger one. Received: "
            f"{config.model}, which does not with a grey one of 8x8 pixels."
        )
    kserve = _import_kserve(config)
    model = _model_class(kserve)(config, upscaler)
    print(
        f"{config.model_name}: {Path(config.model).name} x{session.info.scale} on "
        f"{session.provider.active}; on {config.host}, HTTP {config.http_port}, gRPC "
        f"{config.grpc_port}"
    )
    _guard(config.host, config.max_message_mb)
    server = kserve.ModelServer(
        http_port=config.http_port, grpc_port=config.grpc_port, grace_period=5
    )
    server.model_repository_extension = _ClosedRepository()
    server.dataplane.ready = model.healthy  # kserve's own says yes to everybody
    server.start([model])


def _import_kserve(config: KserveServerConfig) -> Any:
    """Imports kserve with the command line that it is to see."""
    ours = sys.argv
    sys.argv = [
        ours[0],
        f"--grpc_max_receive_message_length={(config.max_message_mb << 20) or -1}",
        "--grpc_max_send_message_length=-1",
    ]
    try:
        import kserve
    except ImportError as error:
        raise UserError(
            "The server needs the package kserve, which cannot be imported. Received: "
            f"{error}. Install it: pip install 'kserve>=0.21,<0.22'."
        ) from error
    finally:
        sys.argv = ours
    return kserve


class _Closed(NotImplementedError):
    """The answer to gRPC calls that are not there."""

    reason = "this server has one model, which calls cannot load or unload"


class _ClosedRepository:
    """Stands for kserve's extension that loads and unloads models."""

    async def load(self, model_name: str) -> None:
        raise _Closed

    unload = load


def _guard(host: str, most_mb: int) -> None:
    """Has kserve's servers listen on one address, behind a `Door`."""
    from kserve import model_server
    from kserve.errors import InferenceError, invalid_input_handler
    from kserve.protocol.grpc import server as kserve_grpc

    class HTTP(model_server.RESTServer):
        def __init__(self, *args: Any, **given: Any) -> None:
            super().__init__(*args, **given)
            self.config.host = host

        def create_application(self) -> None:
            super().create_application()
            app = model_server.app
            for kind in (*BAD_REQUEST, InferenceError):
                app.add_exception_handler(kind, invalid_input_handler)
            app.add_middleware(Door, most_bytes=(most_mb or 2048) << 20)

    class Listening:
        """Stands for a gRPC server that is being made, but for its address."""

        def __init__(self, server: Any) -> None:
            self._server = server

        def add_insecure_port(self, address: str) -> int:
            port = address.rpartition(":")[2]
            bound = f"[{host}]" if ":" in host else host
            return self._server.add_insecure_port(f"{bound}:{port}")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._server, name)

    class Aio:
        """gRPC's asyncio, as kserve's server sees it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(grpc_aio, name)

        def server(self, *args: Any, **given: Any) -> Listening:
            given["maximum_concurrent_rpcs"] = _MOST_REQUESTS
            return Listening(grpc_aio.server(*args, **given))

    grpc_aio = kserve_grpc.aio
    kserve_grpc.aio = Aio()
    model_server.RESTServer = HTTP


def _model_class(kserve: Any) -> type:
    """Returns the class of our model; its base exists only after the late import."""
    from kserve.errors import InvalidInput

    class SrModel(kserve.Model):
        """`image` [B, H, W, 3] -> `sr` [B, H*s, W*s, 3]."""

        def __init__(self, config: KserveServerConfig, upscaler: Upscaler) -> None:
            super().__init__(config.model_name)
            self._dtype = np.dtype(config.dtype)
            self._datatype = {"float32": "FP32", "uint8": "UINT8"}[config.dtype]
            self._upscaler = upscaler
            # One image at a time: the network uses all cores, and memory adds up.
            self._turn = asyncio.Lock()
            self.ready = True

        def load(self) -> bool:
            """Says whether it is ready; kserve's own would say that it is."""
            return self.ready

        async def healthy(self) -> bool:
            """Whether it answers; after a failure it is tried before it says so."""
            if not self.ready:
                async with self._turn:
                    self.ready = await asyncio.to_thread(self._upscaler.works)
            return self.ready

        def get_input_types(self) -> list[dict[str, Any]]:
            return [self._type("image")]

        def get_output_types(self) -> list[dict[str, Any]]:
            return [self._type("sr")]

        def _type(self, name: str) -> dict[str, Any]:
            shape = [-1, -1, -1, 3]
            return {"name": name, "datatype": self._datatype, "shape": shape}

        async def predict(self, payload: Any, *_: Any) -> Any:
            images = self._checked(payload)
            async with self._turn:
                try:
                    # In a thread, so that the server goes on answering health checks.
                    sr = await asyncio.to_thread(self._upscaler, images)
                except UserError as error:
                    self.ready = await asyncio.to_thread(self._upscaler.works)
                    raise InvalidInput(str(error)) from error
                except Exception as error:
                    self.ready = False
                    raise RuntimeError(f"the model failed: {error!r}") from error
            output = kserve.InferOutput("sr", list(sr.shape), self._datatype)
            output.set_data_from_numpy(sr, binary_data=True)
            return kserve.InferResponse(
                response_id=payload.id or "0",  # None is refused further down
                model_name=self.name,
                infer_outputs=[output],
                raw_outputs=None,
                use_binary_outputs=payload.use_binary_outputs,
                requested_outputs=payload.request_outputs,
            )

        def _checked(self, payload: Any) -> np.ndarray:
            names = [one.name for one in payload.inputs]
            if names != ["image"]:
                raise InvalidInput(f"unexpected inference input {names}; give `image`")
            given = payload.inputs[0]
            if given.datatype != self._datatype:
                raise InvalidInput(
                    f"`image` must be {self._datatype}. Received: {given.datatype}"
                )
            try:
                images = given.as_numpy()
            except (ValueError, TypeError, OverflowError) as error:
                raise InvalidInput(f"`image` cannot be read: {error}") from error
            if images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape:
                raise InvalidInput(
                    f"`image` must be [B, H, W, 3]. Received: {images.shape}"
                )
            return np.ascontiguousarray(images, self._dtype)

    return SrModel


if __name__ == "__main__":
    program.run(SPEC, main)
