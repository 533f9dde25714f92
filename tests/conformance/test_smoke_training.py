"""The smoke flag files train, stop and go on, with the losses that were recorded.

The released project's configurations failed at the first validation, and its log began
again where a run went on (reference list B9 to B12, B15).
"""

import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tensorflow.python.autograph.impl import api

from pdm_tf import build, train
from pdm_tf.bundles.bundle import load_bundle, save_bundle
from pdm_tf.cli import program
from pdm_tf.core.log_words import meaning
from pdm_tf.run import read_metrics
from pdm_tf.training.checkpoint import collect_state
from pdm_tf.training.step_function import StepFunction
from tests.conformance.smoke import (
    CONFIGS,
    LONG,
    SMOKE,
    arguments,
    parse,
    write_photographs,
)
from tests.support import golden

# A second start costs as much as the first, and that each method goes on bit for bit
# is held in test_methods.py: here the loop's own kinds, joint, in phases, of pairs, and
# with pairs made beside the steps.
GO_ON = {
    Path("smoke/pdm_sr_joint.flags"),
    Path("smoke/pdm_sr_separate.flags"),
    Path("smoke/supervised_pairs.flags"),
    Path("smoke/supervised_gan_real_esrgan.flags"),
}
TRAINED = [
    pytest.param(path, id=str(path), marks=[pytest.mark.slow] if path in LONG else [])
    for path in SMOKE
]


@pytest.fixture
def step_functions(monkeypatch):
    """The step functions that the program makes, in their order."""
    made, make = [], build.compiled_step

    def kept(*args):
        made.append(make(*args))
        return made[-1]

    monkeypatch.setattr(build, "compiled_step", kept)
    return made


@pytest.fixture(autouse=True)
def no_autograph(monkeypatch):
    """Searching Python code for conditions takes longer than making the graphs."""

    def transform(function, *_):
        raise AssertionError(f"AutoGraph is asked to convert {function}")

    monkeypatch.setattr(api._TRANSPILER, "transform", transform)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"))


def train_here(*flags: str) -> None:
    """The program's main in this process, which saves TensorFlow's start."""
    assert program.call(train.SPEC, train.main, flags) == program.OK


def state_of(steps: StepFunction) -> Iterator[np.ndarray]:
    """Everything that a checkpoint has, in a fixed order."""
    for _, group in sorted(collect_state(steps.method, steps.ema).items()):
        yield from (variable.numpy() for variable in group)


def listing(run) -> set[str]:
    """The files of a run folder, hashes and times taken out of their names."""
    names = (path.relative_to(run) for path in run.rglob("*") if path.is_file())
    return {
        re.sub("/[0-9a-f]{12}[.]", "/SHA.", re.sub("events.out.*", "events.out", text))
        for text in map(str, names)
    }


@pytest.mark.parametrize("path", TRAINED)
def test_trains_saves_and_validates(
    path, photographs, tmp_path, capsys, step_functions
):
    """Twenty steps, some in two parts, by the real program, with losses as recorded."""
    run = tmp_path / "run"
    every = [f"--{what}_every=10" for what in ("save", "validate", "preview")]
    flags = arguments(path, photographs, run, *every)
    starts = [0, 10, 20] if path in GO_ON else [0, 20]
    halfway = {}
    for start, end in itertools.pairwise(starts):
        train_here(*flags, f"--steps={end}")
        printed = capsys.readouterr().out
        assert not start or f"goes on from step {start}" in printed
        method, traces = step_functions[-1].method, step_functions[-1].traces
        phases = {method.train_step_for(index) for index in range(start, end)}
        assert traces == len(phases), "a step is to be traced once in each phase"
        names = {*method.deployable(), *(f"{n}_ema" for n in method.ema_networks())}
        bundles = {name: load_bundle(run / "bundles" / name) for name in names}
        assert {bundle.step for bundle in bundles.values()} == {end}
        if not start:
            halfway = bundles
    assert {folder.name for folder in (run / "bundles").iterdir()} == names
    records = read_metrics(run / "metrics.jsonl")
    losses = [r for r in records if any(k.startswith("loss/") for k in r)]
    # The released code's log restarted; here each step is there once.
    assert [r["step"] for r in losses] == list(range(1, 21))
    for record in losses:
        values = [v for k, v in record.items() if k.startswith(("loss/", "stat/"))]
        assert all(math.isfinite(value) for value in values), record
    assert not [k for r in records for k in r if "/" in k and not meaning(k)]
    validated = [r["step"] for r in records if "val/psnr" in r]
    assert validated == ([10, 20] if "sr" in names else [])
    for name in {"sr", "sr_ema"} & set(halfway) if path in GO_ON else ():
        assert bundles[name].sha256 != halfway[name].sha256, f"{name} did not move"
    assert list((run / "previews").glob("step_00000020_*.png"))
    assert not golden.differences(str(path), records, state_of(step_functions[-1]))
    recorded = golden.read("run_folders.json").get(str(path))
    assert recorded is None or listing(run) == {
        # One checkpoint and preview more than recorded.
        *recorded,
        *(name.replace("step_00000020", "step_00000010") for name in recorded),
    }


def test_srgan_as_in_the_paper_trains_as_recorded(
    photographs, tmp_path, step_functions
):
    """The one method and preset that no smoke flag file has."""
    flags = arguments("smoke/pdm_srgan.flags", photographs, tmp_path / "run")
    train_here(*flags, "--preset=paper", "--steps=20", "--validate_every=0")
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    run = "smoke/pdm_srgan.flags --preset=paper"
    assert not golden.differences(run, records, state_of(step_functions[-1]))


@pytest.mark.slow  # 9 s; test_source_first.py does it
def test_sr_on_a_frozen_degradation(photographs, tmp_path, capsys):
    """training=sr takes the degradation of another run and leaves it as it is."""
    given = tmp_path / "given"
    pdm = build.build_method(parse("smoke/pdm_sr_joint.flags")).networks["pdm"]
    save_bundle(pdm, given, step=9)
    run = tmp_path / "run"
    lines = (CONFIGS / "parts" / "smoke.flags").read_text()
    frozen = tmp_path / "frozen.flags"
    frozen.write_text(f"{lines}--method=pdm_sr\n--method_arg=training=sr\n")
    flags = arguments(frozen, photographs, run, f"--init_degradation={given}")
    train_here(*flags)
    train_here(*flags, "--steps=4")
    assert "goes on from step 2" in capsys.readouterr().out
    for name in ("pdm", "pdm_ema"):
        left = load_bundle(run / "bundles" / name).network.get_weights()
        for found, wanted in zip(left, pdm.get_weights(), strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert load_bundle(run / "bundles" / "sr").step == 4
