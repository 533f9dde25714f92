"""What is fuzzed: each reader of bytes that others may have written, with its seeds.

A reader is a function of bytes. It may return, or refuse by one of `expected`, which is
what the programs turn into one line; anything else is a finding. Imports stand inside
the makers, since a fuzzer sees what is imported while it watches.
"""

import contextlib
import io
import json
import os
import resource
import signal
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import numpy as np

Read = Callable[[bytes], object]
_CUT = b"\n--\n"  # between two files, or two arguments, of one input


class Reader(NamedTuple):
    """A reader, and what to try it with.

    Attributes:
      make: folder for its files -> the function of bytes.
      seeds: small valid inputs, made by code.
      longest: bytes of the longest input that is tried.
      words: what random changes would hardly find.
      package: that it needs, beside what every installation has.
    """

    make: Callable[[Path], Read]
    seeds: Callable[[], Sequence[bytes]]
    longest: int = 2048
    words: tuple[bytes, ...] = ()
    package: str = ""


def expected() -> tuple[type[Exception], ...]:
    """How a reader may refuse."""
    from pdm_tf.core.errors import UserError

    return (UserError,)


@contextlib.contextmanager
def forked_instead(*modules: Any) -> Iterator[None]:
    """Within it, these modules' processes of their own are copies of this one.

    They do not load the libraries again, and so are quicker.
    """
    before = [module.run_apart for module in modules]
    for module in modules:
        module.run_apart = _forked
    try:
        yield
    finally:
        for module, function in zip(modules, before, strict=True):
            module.run_apart = function


def _forked(
    code: str,
    *arguments: Any,
    seconds: float | None = None,
    memory_bytes: int | None = None,
) -> Any:
    """As `core.apart.run_apart`."""
    from pdm_tf.core.apart import Ended

    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there may be threads
        child = os.fork()
    if not child:
        _in_the_child(code, arguments, theirs, seconds or 20, memory_bytes)
    os.close(theirs)
    with open(ours, "rb") as output:
        written = output.read()
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Ended(
        None if ended == -signal.SIGALRM else ended, written, "", seconds or 20
    )


def _in_the_child(
    code: str,
    arguments: Sequence[Any],
    output: int,
    seconds: float,
    memory_bytes: int | None,
) -> NoReturn:
    ended = 1
    try:
        # A fuzzer takes these for findings.
        for number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGALRM, signal.SIGBUS):
            signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory_bytes:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(output, 1)
        os.dup2(null, 2)
        sys.argv = ["", *map(os.fspath, arguments)]
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - until it ends
        exec(code, {"sys": sys, "resource": resource})
        sys.stdout.flush()
        ended = 0
    finally:
        os._exit(ended)


def _file(folder: Path, name: str, read: Callable[[Path], object]) -> Read:
    """The reader of a file as one of bytes."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)

    def of_bytes(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return of_bytes


# Pictures


def _png_chunks(folder: Path) -> Read:
    from pdm_tf.core import photographs
    from pdm_tf.core.colour import png_profile

    def read(data: bytes) -> None:
        png_profile(data)
        photographs._png_frames(io.BytesIO(data))

    return read


def _jpeg_header(folder: Path) -> Read:
    from pdm_tf.core.jpeg_header import read_jpeg_header

    return _file(folder, "p.jpg", read_jpeg_header)


def _pictures(folder: Path) -> Read:
    from pdm_tf.core.images import decode_rgb_u8, image_size
    from pdm_tf.core.photographs import read_size

    size = _file(folder, "p", lambda path: (image_size(path), read_size(path)))

    def read(data: bytes) -> None:
        # Large ones are decoded as they should be, which takes seconds.
        (height, width), _ = size(data)
        if height * width <= 1 << 16:
            decode_rgb_u8(data, "p")

    return read


def _encoded(form: str, mode: str = "RGB", **settings: Any) -> bytes:
    from PIL import Image

    values = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(6, 8, 3)
    buffer = io.BytesIO()
    Image.fromarray(values).convert(mode).save(buffer, form, **settings)
    return buffer.getvalue()


def _png_seeds() -> list[bytes]:
    from tests.support.png import RGB, chunk, png_bytes

    extras = {
        b"gAMA": struct.pack(">I", 100000),
        b"cHRM": struct.pack(
            ">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600
        ),
        b"cICP": bytes([9, 13, 0, 1]),
        b"sRGB": b"\0",
        b"acTL": struct.pack(">II", 2, 0),
    }
    pixels = np.zeros([2, 2, 3], np.uint8)
    return [
        png_bytes(pixels, RGB, chunk(name, content)) for name, content in extras.items()
    ] + [
        png_bytes(
            pixels.astype(np.uint16),
            RGB,
            chunk(b"gAMA", extras[b"gAMA"]) + chunk(b"cHRM", extras[b"cHRM"]),
        )
    ]


def _jpeg_seeds() -> list[bytes]:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        _encoded("JPEG"),
        _encoded("JPEG", exif=exif.tobytes(), progressive=True),
        _encoded("JPEG", "L"),
        _encoded("JPEG", "CMYK"),
    ]


def _picture_seeds() -> list[bytes]:
    return [
        *_jpeg_seeds(),
        *_png_seeds(),
        _encoded("PNG", "P"),
        _encoded("PNG", "LA"),
        _encoded("PNG", "1"),
        _encoded("WEBP", lossless=True),
        _encoded("WEBP"),
        _encoded("BMP"),
        _encoded("GIF"),
        _encoded("TIFF"),
        _encoded("TIFF", compression="tiff_lzw"),
        _encoded("TIFF", "RGBA"),
    ]


# Weights


def _weights(folder: Path) -> Read:
    from pdm_tf.interop.weight_file import open_weights

    def read(path: Path) -> None:
        for tensor in open_weights(path).tensors.values():
            tensor.load()

    return _file(folder, "w.pth", read)


def _pickle(folder: Path) -> Read:
    from pdm_tf.core.errors import UserError
    from pdm_tf.interop.pickle_reader import read_pickle
    from pdm_tf.interop.tensors import Storage

    def find_storage(description: Any) -> Storage:
        if not isinstance(description, tuple) or len(description) < 2:
            raise UserError("no storage")
        return Storage("float32", 64, lambda: bytes(256))

    return lambda data: read_pickle(io.BytesIO(data), find_storage)


def _arrays() -> dict[str, np.ndarray]:
    return {
        "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a.bias": np.arange(3, dtype=np.float16),
        "steps": np.array([7]),
    }


def _pth_seeds() -> list[bytes]:
    from tests.unit.interop.torch_writer import plain_dict, state_bytes

    def under_a_key(state: bytes) -> bytes:
        return plain_dict(("params_ema", state))

    hows = ("zip", "legacy", "safetensors")
    return [
        *(state_bytes(_arrays(), how) for how in hows),
        *(state_bytes(_arrays(), how, under_a_key) for how in hows[:2]),
    ]


def _pickle_seeds() -> list[bytes]:
    import pickle

    from tests.unit.interop.torch_writer import array_tensor, ordered_dict, pickled

    tensors = ((n, array_tensor("0", array)) for n, array in _arrays().items())
    state = ordered_dict(*tensors)
    plain = {"a": [1, 2.5, True, None], "b": (b"", "text", {3: (1, 2, 3)})}
    return [pickled(state), *(pickle.dumps(plain, how) for how in range(6))]


def _safetensors_seeds() -> list[bytes]:
    from tests.unit.interop.torch_writer import safetensors_bytes

    return [safetensors_bytes(_arrays()), safetensors_bytes({})]


def _ncnn(folder: Path) -> Read:
    from pdm_tf.interop.weight_file import open_weights

    graph, weights = folder / "n.param", folder / "n.bin"

    def read(data: bytes) -> None:
        text, _, numbers = data.partition(_CUT)
        graph.write_bytes(text)
        weights.write_bytes(numbers)
        for tensor in open_weights(graph).tensors.values():
            tensor.load()

    return read


def _ncnn_seeds() -> list[bytes]:
    from tests.support.ncnn_writer import graph_text, rrdbnet_arrays, weight_bytes

    arrays = rrdbnet_arrays(filters=2, growth=1, blocks=1, doublings=1)
    return [
        graph_text(arrays).encode() + _CUT + weight_bytes(arrays, tag=tag)
        for tag in (0, 0x01306B47)
    ]


# What our programs write, and read again


def _bundle(folder: Path) -> Read:
    from pdm_tf.bundles import bundle

    (folder / "w.keras").touch()

    def read(path: Path) -> None:
        index = bundle._read_index(path.parent)
        if index["network"] in bundle._CLASSES:  # else refused by its name
            bundle._config_from(index)
        bundle._grid_of(index, path.parent)

    return _file(folder, "bundle.json", read)


def _bundle_seeds() -> list[bytes]:
    index = {
        "format": 2,
        "role": "sr",
        "network": "EDSR",
        "config": {"num_blocks": 1, "filters": 4, "scale": 2},
        "scale": 2,
        "step": 5,
        "weights": "w.keras",
        "sha256": "0" * 64,
        "notes": {"method": "pdm_sr"},
        "grid": "pixel0",
    }
    old = {name: value for name, value in index.items() if name != "grid"}
    chain = {
        "network": "Chain",
        "config": {"stages": [{"network": "EDSR", "config": index["config"]}]},
    }
    return [_json(index), _json(old), _json(index | chain)]


def _flags(folder: Path) -> Read:
    from unittest import mock

    from pdm_tf.cli.flag_set import HelpRequested, parse
    from pdm_tf.train import SPEC

    def read(path: Path) -> None:
        # absl's search for similar names takes most of the time.
        with mock.patch("absl.flags._helpers.get_flag_suggestions", lambda *_: []):
            try:
                parse(SPEC, [f"--flagfile={path}"])
            except HelpRequested:
                return

    return _file(folder, "a.flags", read)


def _flag_seeds() -> list[bytes]:
    return [
        b"# a comment\n--method=supervised\n--hr_dir=hr\n--run_dir=r\n--steps=2\n",
        b"--flagfile=smoke/pdm_sr\n--run_dir=r\n--hr_dir=h\n--sr_arg=filters=4\n",
        b"--run_dir=r\n--hr_dir=h\n--lr_milestones=1,2\n--learning_rate=1e-4\n"
        b"--nomixed_precision\n--net_arg=sr.filters=4\n--init=sr=b\n",
    ]


def _shards(folder: Path) -> Read:
    from pdm_tf.core.errors import UserError
    from pdm_tf.data.tfrecord import read_index

    (folder / "i.tfrecord").write_bytes(_encoded("PNG") + bytes(16))

    def read(path: Path) -> None:
        for entry in read_index(path.parent):
            try:
                entry.size()
                entry.read()
            except UserError:
                continue

    return _file(folder, "index.json", read)


def _shard_seeds() -> list[bytes]:
    import zlib

    data = _encoded("PNG")
    row = {"name": "a.png", "height": 6, "width": 8, "offset": 0, "length": len(data)}
    row["crc32"] = zlib.crc32(data)
    shard = {"file": "i.tfrecord", "bytes": len(data) + 16, "images": [row]}
    index = {"format": "pdm_tf image shards, version 1", "complete": True}
    return [
        _json({**index, "shards": [shard], "grid": "pixel0", "draws": True}),
        _json({**index, "complete": False, "shards": []}),
    ]


def _journal(folder: Path) -> Read:
    from pdm_tf.core.ledger import Ledger

    def read(path: Path) -> None:
        ledger = Ledger(path.parent, path.name)
        for key in ledger.keys():  # noqa: SIM118 - no mapping
            ledger.is_finished(key, ["a.png", 5, 6])
            ledger.facts(key)

    return _file(folder, "j.jsonl", read)


def _journal_seeds() -> list[bytes]:
    line = {"key": "a", "inputs": "0" * 64, "outputs": {"j.jsonl": 3}, "facts": [1]}
    begun = {"key": "a", "begun": {"a.png": "1", "b.png": "2"}}
    old = {"target": "a.png", "settings": "s", "source_bytes": 1, "bytes": 7}
    return [
        b"\n".join(map(_json, (begun, line))) + b"\n",
        _json({**old, "source_time_ns": 8}),
    ]


def _metrics(folder: Path) -> Read:
    from pdm_tf.run import read_metrics

    return _file(folder, "metrics.jsonl", read_metrics)


def _metric_seeds() -> list[bytes]:
    return [b'{"step": 1, "loss/sr": 0.5}\n{"step": 2, "val/psnr": NaN}\n{"st']


# Archives and arrays


def _archive(folder: Path) -> Read:
    from pdm_tf.core.errors import UserError
    from pdm_tf.data.archives import open_archive, read_file
    from pdm_tf.data.paper_sets import Archive

    archive = Archive(("a.zip",), "two images", 2, r"(\d+)\.png", (1, 2))

    def read(path: Path) -> None:
        for file in open_archive(archive, path).values():
            # Reading stops at the size that the directory claims.
            if file.size <= 1 << 20:
                try:
                    read_file(file)
                except UserError:
                    continue

    return _file(folder, "a.zip", read)


def _archive_seeds() -> list[bytes]:
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("set/", "")
            archive.writestr("set/0001.png", b"one" * 20)
            archive.writestr("set/0002.png", b"two")
        found.append(buffer.getvalue())
    return found


def _npz(folder: Path) -> Read:
    from pdm_tf.core.errors import UserError
    from pdm_tf.degradations import pool_files
    from pdm_tf.estimation.kernel_regressor import KernelRegressor
    from pdm_tf.evaluation.opened_run import read_kernels
    from pdm_tf.metrics.niqe import load_model

    def read(path: Path) -> None:
        for one in (
            load_model,
            KernelRegressor.load,
            lambda path: pool_files._array(path, "noise"),
            lambda path: read_kernels(str(path)),
        ):
            try:
                one(path)
            except UserError:
                continue

    return _file(folder, "a.npz", read)


def _npz_seeds() -> list[bytes]:
    def saved(how: Callable[..., None], *arrays: Any, **named: Any) -> bytes:
        buffer = io.BytesIO()
        how(buffer, *arrays, **named)
        return buffer.getvalue()

    about = {"format": 1, "features": 5, "scale": 2, "widening": 1, "facts": {}}
    return [
        saved(np.save, np.full([1, 3, 3], 1 / 9, np.float32)),
        saved(
            np.savez,
            format=1,
            mean=np.zeros(2),
            covariance=np.eye(2),
            name="n",
            blocks=3,
        ),
        saved(
            np.savez_compressed,
            about=np.array(json.dumps(about)),
            centre=np.zeros(2),
            spread=np.ones(2),
            **{"weights/a": np.zeros(2)},
        ),
    ]


def _mat(folder: Path) -> Read:
    import scipy.io  # noqa: F401 - the copies find it loaded

    from pdm_tf.metrics import niqe

    def read(path: Path) -> None:
        with forked_instead(niqe):
            niqe.read_published(path, "n")

    return _file(folder, "a.mat", read)


def _mat_seeds() -> list[bytes]:
    from scipy.io import savemat

    found = []
    for settings in ({}, {"do_compression": True}, {"format": "4"}):
        buffer = io.BytesIO()
        values = {"mu_prisparam": np.zeros([1, 36]), "cov_prisparam": np.eye(36)}
        savemat(buffer, values, **settings)
        found.append(buffer.getvalue())
    return found


def _estimate(folder: Path) -> Read:
    from pdm_tf.core.source_estimate import SourceEstimate
    from pdm_tf.core.stored import read_json

    return _file(
        folder, "e.json", lambda path: read_json(path, make=SourceEstimate.from_json)
    )


def _estimate_seeds() -> list[bytes]:
    from pdm_tf.core.source_estimate import (
        JpegPopulation,
        KernelPopulation,
        NoisePopulation,
        SourceEstimate,
    )

    matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    estimate = SourceEstimate(
        scale=2,
        grid="pixel0",
        kernels=KernelPopulation((0.0, 0.0, 0.0), matrix, matrix, 3.0),
        noise=NoisePopulation((1.0, 2.0), ((1.0, 0.0), (0.0, 1.0))),
        jpeg=JpegPopulation((80, 0)),
    )
    return [_json(estimate.to_json())]


# Models and messages


def _onnx_facts(folder: Path) -> Read:
    from pdm_tf.core.errors import UserError
    from pdm_tf.inference.model_file import check_tensors, read_info

    path = folder / "m.onnx"
    path.touch()

    def read(data: bytes) -> None:
        try:
            facts = json.loads(data)
            sides = [
                [
                    SimpleNamespace(name=str(n), shape=list(s), type=str(t))
                    for n, s, t in x
                ]
                for x in (facts["inputs"], facts["outputs"])
            ]
            metadata = {str(k): str(v) for k, v in facts["metadata"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return  # no such thing comes from onnxruntime
        if not all(
            type(size) in (int, str) for x in sides for one in x for size in one.shape
        ):
            return
        session = SimpleNamespace(
            get_inputs=lambda: sides[0],
            get_outputs=lambda: sides[1],
            get_modelmeta=lambda: SimpleNamespace(custom_metadata_map=metadata),
        )

        def run(lr: np.ndarray, layout: str) -> np.ndarray:
            raise UserError("not run")

        if sides[0] and sides[1]:
            check_tensors(session, path)
            read_info(session, path, run)

    return read


def _onnx_fact_seeds() -> list[bytes]:
    image = ["image", ["n", "h", "w", 3], "tensor(float)"]
    metadata = {"scale": "2", "layout": "NHWC", "grid": "pixel0", "overlap": "8"}
    first = {"inputs": [image], "outputs": [["sr", [], "tensor(float16)"]]}
    nchw = ["x", [1, 3, "h", "w"], "tensor(float16)"]
    return [
        _json({**first, "metadata": {**metadata, "receptive_radius": "4"}}),
        _json({"inputs": [nchw], "outputs": [nchw], "metadata": {"kind": "sr"}}),
    ]


def _onnx_file(folder: Path) -> Read:
    from pdm_tf.inference import session
    from pdm_tf.inference.ort import import_onnxruntime

    import_onnxruntime()  # the copies find it loaded

    def read(path: Path) -> None:
        with forked_instead(session):
            session.open_session(path, provider="cpu", threads=1, spinning=False)

    return _file(folder, "m.onnx", read)


def _onnx_file_seeds() -> list[bytes]:
    import tempfile

    from tests.support.onnx_files import write_sr

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        write_sr(path, convs=1)
        return [path.read_bytes()]


def _answers(folder: Path) -> Read:
    """The client, given a server's answers: head, body, cut, from which it reads."""
    from google.protobuf.message import DecodeError

    from export.client.errors import Asked
    from export.client.kserve import Contract, KserveGrpc, KserveRest
    from export.client.payload import Payload
    from export.client.tf_serving import TfServingGrpc, TfServingRest
    from pdm_tf.core.errors import UserError

    payload = Payload(np.zeros([2, 2, 3], np.uint8), b"")
    named = {"model_name": "sr", "version": 0}
    services = []
    for signature in ("serving_default", "serving_uint8", "serving_bytes"):
        asked = Asked("127.0.0.1:1", "rest", "model sr", signature, 1.0, 0)
        services += [TfServingRest(asked, label="", **named)]
        services += [TfServingGrpc(asked, label="", **named)]
    services += [KserveRest(asked, **named), KserveGrpc(asked, **named)]
    answer = {}

    def call(path: str, request: Any = None, kind: Any = None, *_: Any) -> Any:
        if isinstance(kind, type):
            try:
                return kind.FromString(answer["body"])
            except DecodeError as error:  # gRPC reports it as a failed call
                raise UserError("no message") from error
        return answer["body"], {"inference-header-content-length": answer["length"]}

    for service in services:
        service._caller.close()
        service._caller = SimpleNamespace(call=call, asked=asked)

    def read(data: bytes) -> None:
        if len(data) < 2:
            return
        # The header is text of the other side's.
        answer["length"] = str(data[1]) if data[1] else "x"
        answer["body"] = data[2:]
        service = services[data[0] % len(services)]
        for one in (service.check, lambda: service.upscale(payload)):
            if isinstance(service, KserveRest | KserveGrpc):
                service._contract = None
            try:
                one()
            except UserError:
                continue
        if isinstance(service, KserveRest | KserveGrpc):
            service._contract = Contract()
            service.upscale(payload)

    return read


def _answer_seeds() -> list[bytes]:
    import base64

    from export.client import messages

    pixels = np.zeros([1, 4, 4, 3])
    png = _encoded("PNG")
    status = {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}
    about = {
        "name": "sr",
        "versions": ["1"],
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
        "outputs": [{"name": "sr", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
    }
    one = {"name": "sr", "datatype": "UINT8", "shape": [1, 4, 4, 3]}
    head = _json({"outputs": [one]})
    data = {"outputs": [{**one, "data": [0] * 48}]}
    tensor = messages.Tensor(dtype=4, tensor_content=bytes(48))
    for size in pixels.shape:
        tensor.tensor_shape.dim.add(size=size)
    predicted = messages.PredictResponse()
    for name in ("sr", "sr_bytes"):
        predicted.outputs[name].CopyFrom(tensor)
    inferred = messages.ModelInferResponse(raw_output_contents=[bytes(48)])
    inferred.outputs.add(name="sr", datatype="UINT8", shape=[1, 4, 4, 3])
    described = messages.ModelMetadataResponse(name="sr", versions=["1"])
    for side in (described.inputs, described.outputs):
        side.add(name="x", datatype="FP32", shape=[-1, -1, -1, 3])
    encoded = base64.b64encode(png).decode()
    return [
        b"\0\1" + _json(status),
        b"\0\1" + _json({"outputs": pixels.tolist()}),
        b"\4\1" + _json({"predictions": [{"b64": encoded}]}),
        b"\1\1" + predicted.SerializeToString(),
        b"\3\1" + predicted.SerializeToString(),
        b"\6\1" + _json(about),
        bytes([6, len(head)]) + head + bytes(48),
        b"\6\xff" + _json(data),
        b"\7\1" + inferred.SerializeToString(),
        b"\7\1" + described.SerializeToString(),
    ]


def _requests(folder: Path) -> Read:
    """The server, given what clients send over HTTP: JSON, and binary data after it."""
    import asyncio

    import kserve
    from kserve.errors import InferenceError, InvalidInput

    from export import kserve_server

    config = kserve_server.KserveServerConfig(model="m", dtype="uint8")
    server = kserve_server._model_class(kserve)(config, lambda images: images)
    loop = asyncio.new_event_loop()

    def read(data: bytes) -> None:
        head, cut, tail = data.partition(_CUT)
        try:
            request = kserve.InferRequest.from_bytes(
                head + tail, len(head) if cut else None, "sr"
            )
        except (*kserve_server.BAD_REQUEST, InferenceError):
            return  # answered by 400
        try:
            loop.run_until_complete(server.predict(request))
        except InvalidInput:
            return

    return read


def _request_seeds() -> list[bytes]:
    one = {"name": "image", "datatype": "UINT8", "shape": [1, 2, 2, 3]}
    binary = {**one, "parameters": {"binary_data_size": 12}}
    asked = [{"name": "sr", "parameters": {"binary_data": True}}]
    return [
        _json({"inputs": [{**one, "data": [0] * 12}], "id": "7"}),
        _json({"inputs": [binary], "outputs": asked}) + _CUT + bytes(12),
    ]


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


_JSON_WORDS = (b'":', b"[]", b"{}", b"null", b"true", b"1e999", b"-1", b'"', b"[[[[[[[")

READERS = {
    "png_chunks": Reader(
        _png_chunks,
        _png_seeds,
        512,
        (b"cICP", b"gAMA", b"cHRM", b"iCCP", b"sRGB", b"acTL", b"IDAT", b"IEND"),
    ),
    "jpeg_header": Reader(_jpeg_header, _jpeg_seeds, 1024),
    "pictures": Reader(_pictures, _picture_seeds, 1024),
    "pth": Reader(_weights, _pth_seeds),
    "pickle": Reader(
        _pickle,
        _pickle_seeds,
        1024,
        (
            *(b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n"),
            *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nSize\n"),
            b"ctorch._utils\n_rebuild_parameter\n",
        ),
    ),
    "safetensors": Reader(_weights, _safetensors_seeds, 1024),
    "ncnn": Reader(_ncnn, _ncnn_seeds, 16384),
    "bundle": Reader(_bundle, _bundle_seeds, 1024, _JSON_WORDS),
    "flags": Reader(_flags, _flag_seeds, 512, (b"--flagfile=", b"_arg=", b"--no")),
    "shards": Reader(_shards, _shard_seeds, 1024, _JSON_WORDS),
    "journal": Reader(_journal, _journal_seeds, 512, _JSON_WORDS),
    "metrics": Reader(_metrics, _metric_seeds, 512, _JSON_WORDS),
    "archive": Reader(_archive, _archive_seeds, 1024, (b"PK\1\2", b"PK\5\6")),
    "npz": Reader(_npz, _npz_seeds),
    "mat": Reader(_mat, _mat_seeds),
    "estimate": Reader(_estimate, _estimate_seeds, 2048, _JSON_WORDS),
    "onnx_facts": Reader(_onnx_facts, _onnx_fact_seeds, 1024, _JSON_WORDS),
    "onnx_file": Reader(_onnx_file, _onnx_file_seeds, 4096),
    "answers": Reader(_answers, _answer_seeds, 1024, _JSON_WORDS),
    "requests": Reader(_requests, _request_seeds, 1024, _JSON_WORDS, package="kserve"),
}
