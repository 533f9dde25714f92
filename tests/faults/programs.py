"""The programs that the faults harness runs, and what of their results must agree.

Pictures and networks are tiny, so that starting and writing is most of the work: a kill
at a random moment then hits what it is meant to hit.
"""

import dataclasses
import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.support.programs import ROOT

if TYPE_CHECKING:
    from PIL import Image

# Files that say when and where, and the records that only decide what is made again.
_NOT_COMPARED = re.compile(
    r"(^|/)(log\.txt|env\.json|lock|\.lock|config\.json|flags\.txt|\.[^/]*\.jsonl"
    r"|tensorboard/.*|manifest/.*|checkpoints/damaged_.*|timing\.json|stage\.json)$"
)
_TIMES = re.compile(
    r"^(time|date|started|made|seconds|perf/.*|.*_seconds|lr_megapixels_per_second"
    r"|command|created|machine|peak_bytes|elapsed.*|run_dir)$"
)


@dataclasses.dataclass(frozen=True)
class Program:
    """One program at work on the inputs of `make_inputs`.

    Attributes:
      module: what `python -m` starts.
      flags: (inputs, output) -> its arguments.
      well: its exit code at the end; 1 where it leaves some of the inputs out.
    """

    module: str
    flags: Callable[[Path, Path], Sequence[str]]
    well: int = 0


_SMOKE = ROOT / "pdm_tf" / "configs" / "smoke"


def _training(config: str, *more: str) -> Program:
    def flags(inputs: Path, output: Path) -> list[str]:
        return [
            f"--flagfile={_SMOKE / config}.flags",
            f"--hr_dir={inputs / 'hr'}",
            f"--run_dir={output}",
            *("--steps=6", "--save_every=1", "--preview_every=3", "--progress=off"),
            *(flag.format(inputs=inputs) for flag in more),
        ]

    return Program("pdm_tf.train", flags)


def _made(module: str, *flags: str, well: int = 0) -> Program:
    def all_flags(inputs: Path, output: Path) -> list[str]:
        return [
            f"--output={output}",
            *(flag.format(inputs=inputs) for flag in flags),
        ]

    return Program(module, all_flags, well)


_IN_HR, _IN_LR = "--input={inputs}/hr", "--input={inputs}/lr"
_PAIRS = ("--hr_dir={inputs}/hr", "--lr_dir={inputs}/lr")
PROGRAMS = {
    "upscale": _made(
        "pdm_tf.upscale",
        *("--model={inputs}/tiny.onnx", _IN_LR, "--threads=1", "--memory_mb=0"),
    ),
    "degrade": _made(
        "pdm_tf.degrade",
        *("--degradation=bicubic", _IN_HR, "--draws=2"),
    ),
    "degrade to shards": _made(
        "pdm_tf.degrade",
        *("--degradation=bicubic", _IN_HR, "--format=tfrecord"),
    ),
    "prepare": _made(
        "pdm_tf.prepare",
        *("--task=bicubic_lr", "--scale=2", _IN_HR),
    ),
    "prepare shards": _made(
        "pdm_tf.prepare",
        *("--task=tfrecord", _IN_HR),
    ),
    "noise_pool": _made("pdm_tf.noise_pool", _IN_HR, "--patch_size=8"),
    "evaluate": _made(
        "pdm_tf.evaluate",
        *("--model=bicubic", *_PAIRS, "--metrics=psnr,ssim"),
    ),
    "interpolate": _made(
        "pdm_tf.interpolate",
        *("--model_a={inputs}/bundle", "--model_b={inputs}/bundle"),
        *("--alpha=0.2,0.5,0.8", "--overwrite"),
    ),
    "export": _made(
        "export",
        *("--model={inputs}/bundle", "--quick"),
    ),
    "estimate": _made(
        "pdm_tf.estimate",
        *("--hr_dir={inputs}/sharp", "--lr_dir={inputs}/blurred", "--progress=off"),
        *("--scale=2", "--notime_step", "--estimate_arg=samples=64"),
        *("--estimate_arg=epochs=1", "--estimate_arg=rounds=1"),
        "--estimate_arg=draws=8",
    ),
    "kernelgan": _made(
        "pdm_tf.kernelgan",
        *("--input={inputs}/sharp", "--scale=2", "--steps=300", "--crop_size=32"),
        *("--seeds=1", "--at_once=1", "--progress=off"),
        well=1,  # so short a training gives one of them a kernel
    ),
    "export.bulk": _made(
        "export.bulk",
        *("--model={inputs}/tiny.onnx", _IN_LR, "--threads=1", "--provider=cpu"),
    ),
    "import_weights": _made(
        "pdm_tf.import_weights",
        *("--input={inputs}/edsr.pth", "--overwrite", "--progress=off"),
    ),
    "compare": _made(
        "pdm_tf.compare",
        *("--model=mine={inputs}/bundle", *_PAIRS, "--metrics=psnr,ssim"),
    ),
    "report": Program(
        "pdm_tf.report",
        lambda inputs, output: [
            f"--model={inputs / 'bundle'}",
            f"--hr_dir={inputs / 'hr'}",
            f"--output={output / 'report.html'}",
        ],
    ),
    "train": _training("supervised_bicubic"),
    "train pdm_sr": _training("pdm_sr_joint", "--lr_dir={inputs}/lr"),
}


def make_inputs(folder: Path) -> None:
    """Writes the pictures, the exported network and the bundle."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for kind in ("hr", "lr", "sharp", "blurred"):
        (folder / kind).mkdir(parents=True)
    for index in range(3):
        name = f"{index}.png"
        coarse = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        hr = Image.fromarray(coarse).resize((96, 96), Image.BICUBIC)
        hr.save(folder / "hr" / name)
        hr.resize((48, 48), Image.BICUBIC).save(folder / "lr" / name)
        _leaves(rng, 160).save(folder / "sharp" / name)
        _leaves(rng, 320).resize((80, 80), Image.BICUBIC).save(
            folder / "blurred" / name
        )
    from tests.support.onnx_files import write_sr

    write_sr(folder / "tiny.onnx")
    from tests.unit.interop.published import edsr_arrays
    from tests.unit.interop.torch_writer import state_bytes

    (folder / "edsr.pth").write_bytes(state_bytes(edsr_arrays(scale=2)))


def _leaves(rng: np.random.Generator, side: int) -> "Image.Image":
    """A picture of many rectangles, with edges as sharp as those of photographs."""
    from PIL import Image

    picture = np.zeros((side, side, 3), np.uint8)
    for y, x, height, width in rng.integers(1, side, (800, 4)) // (1, 1, 4, 4):
        picture[y : y + height, x : x + width] = rng.integers(0, 255, 3)
    return Image.fromarray(picture)


def snapshot(folder: Path) -> dict[str, str]:
    """Relative name -> hash of what must agree in each file below a folder."""
    return {
        name: hashlib.sha256(_content(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not _NOT_COMPARED.search(name := path.relative_to(folder).as_posix())
    }


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix in (".json", ".jsonl"):
        lines = data.decode().splitlines() if path.suffix == ".jsonl" else [data]
        return json.dumps([_timeless(json.loads(line)) for line in lines]).encode()
    if path.suffix == ".html":  # says when it was made: there and whole is enough
        return data[-20:]
    if path.suffix == ".csv":  # the last column is that of the seconds
        return b"\n".join(line.rpartition(b",")[0] for line in data.splitlines())
    if path.suffix == ".onnx":
        return _nameless(path)
    if zipfile.is_zipfile(path):  # .keras and .npz say when their parts were made
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in sorted(archive.namelist())}
        parts.pop("metadata.json", None)  # of Keras: the date
        return repr(parts).encode()
    return data


def _nameless(path: Path) -> bytes:
    """A model with its tensors numbered: of equal constants tf2onnx keeps any name."""
    import onnx

    graph = onnx.load(path).graph
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    numbers: dict[str, int] = {}
    found = []
    for node in graph.node:
        inputs = []
        for name in node.input:
            value = stored.get(name)
            number = numbers.setdefault(name, len(numbers))
            inputs.append(number if value is None else (value.shape, value.tobytes()))
        outputs = [numbers.setdefault(name, len(numbers)) for name in node.output]
        attributes = [one.SerializeToString() for one in node.attribute]
        found.append((node.op_type, inputs, outputs, attributes))
    return repr(found).encode()


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if not _TIMES.match(k)}
    return [_timeless(x) for x in value] if isinstance(value, list) else value
