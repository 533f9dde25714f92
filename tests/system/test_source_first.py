"""`python -m pdm_tf.train --estimate=on`: measured, refined, decided, trained.

Every stage is killed in turn, and the run's folder is moved; what follows is the same
to the last bit. The estimate is
given here, so that the stages are tested by themselves.
"""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from pdm_tf import train
from pdm_tf.bundles.bundle import load_bundle
from pdm_tf.cli import program
from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.images import write_png
from pdm_tf.core.source_estimate import (
    KernelPopulation,
    NoisePopulation,
    PhotographEstimate,
    SourceEstimate,
)
from pdm_tf.core.stored import read_json
from pdm_tf.run import Run
from pdm_tf.source_first import stages
from pdm_tf.source_first.decision import Decision
from pdm_tf.source_first.measuring import NotMeasurable
from pdm_tf.train_config import TrainConfig
from tests.system.test_train import state

TINY = (
    *("--batch_size=2", "--lr_patch=12", "--sr_arg=num_blocks=1", "--sr_arg=filters=8"),
    *("--kernel_arg=kernel_size=13", "--kernel_arg=num_blocks=1"),
    *("--kernel_arg=filters=8", "--kernel_arg=latent_channels=4"),
    "--discriminator_arg=filters=8",
    *("--steps=4", "--refine_steps=4", "--save_every=2", "--log_every=1"),
    *("--preview_every=0", "--progress=off", "--report=off", "--estimate=on"),
)
ESTIMATE = SourceEstimate(
    scale=4,
    grid="pixel0",
    kernels=KernelPopulation(
        mean=(0.8, 0.0, 0.0),
        covariance=((0.1, 0.0, 0.0), (0.0, 0.05, 0.0), (0.0, 0.0, 0.05)),
        mean_error=((0.01, 0.0, 0.0), (0.0, 0.01, 0.0), (0.0, 0.0, 0.01)),
        photographs=60.0,
    ),
    noise=NoisePopulation(
        log_mean=(-4.6, -7.0), log_covariance=((0.1, 0.0), (0.0, 0.1)), photographs=60
    ),
    photographs=tuple(PhotographEstimate(f"{i:02d}.png") for i in range(60)),
)


DEFAULT = TrainConfig(hr_dir="hr", run_dir="run")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Ten HR photographs of rectangles, and sixty LR ones."""
    folder, draw = tmp_path_factory.mktemp("photographs"), np.random.default_rng(5)

    def picture(side, rectangles):
        image = np.full([side, side, 3], 128, np.uint8)
        for _ in range(rectangles):
            top, left = draw.integers(0, side, 2)
            height, width = draw.integers(2, side // 3, 2)
            image[top : top + height, left : left + width] = draw.integers(0, 256, 3)
        return image

    for index in range(10):
        write_png(folder / "hr" / f"{index}.png", picture(140, 120))
    for index in range(60):
        write_png(folder / "lr" / f"{index:02d}.png", picture(32, 30))
    return folder


@pytest.fixture
def given(monkeypatch):
    """The estimate, without measuring; tests may change it."""
    holder = {"estimate": ESTIMATE, "asked": 0}

    def measure(config, folder, say):
        holder["asked"] += 1
        if holder["estimate"] is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_json_atomic(folder / "estimate.json", holder["estimate"].to_json())
        return holder["estimate"]

    monkeypatch.setattr(stages, "measure", measure)
    return holder


def run(photographs, run_dir, *flags, code=program.OK):
    folders = (f"--{name}_dir={photographs / name}" for name in ("hr", "lr"))
    argv = [*folders, f"--run_dir={run_dir}", *TINY, *flags]
    assert program.call(train.SPEC, train.main, argv) == code
    return Run(run_dir)


def same_state(first, second, step=4):
    a, b = state(first, step), state(second, step)
    assert a.keys() == b.keys()
    return [name for name in a if not np.array_equal(a[name], b[name])] == []


@pytest.fixture(scope="module")
def whole(photographs, tmp_path_factory):
    """A run that nobody stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "measure", lambda config, folder, say: ESTIMATE)
        folder = tmp_path_factory.mktemp("runs") / "whole"
        run(photographs, folder)
    return folder


def test_it_leaves_a_run_a_refinement_and_a_decision(whole):
    made = Run(whole)
    assert made.ending["step"] == 4
    assert made.refinement.ending["step"] == 4
    decided = Decision.load(made.decision)
    assert (decided.photographs, decided.tested) == (60, 12)
    assert len(decided.tests["first"]["mmd2"]) == 5
    assert "on 12 photographs held out" in decided.why
    assert decided.accepted in ("estimate", "refined")
    assert f"{decided.why}" in (whole / "log.txt").read_text()
    assert "blur: long axis " in (whole / "log.txt").read_text()


def test_the_sr_network_learns_on_the_accepted_degradation(whole):
    decided = Decision.load(Run(whole).decision)
    wanted = load_bundle(whole / decided.bundle).network.get_weights()
    for name in ("pdm", "pdm_ema"):
        found = load_bundle(whole / "bundles" / name).network.get_weights()
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not (whole / "bundles/discriminator").exists()


@pytest.mark.slow
def test_the_refinement_repeats_from_its_own_flags(whole, tmp_path):
    """It is an ordinary run, without the photographs that are held out."""
    flags = [f"--flagfile={whole / 'refine/flags.txt'}", f"--run_dir={tmp_path / 'r'}"]
    assert program.call(train.SPEC, train.main, flags) == program.OK
    assert same_state(whole / "refine", tmp_path / "r")
    settings = read_json(whole / "refine/config.json")
    assert (settings["lr_held_out"], settings["estimate"]) == (5, "off")
    assert "training=degradation" in settings["method_arg"]


def kill_in_estimate(folder):
    shutil.rmtree(folder / "refine")
    forget(folder)


def kill_in_refine(folder):
    (folder / "refine/decision.json").unlink()
    shutil.rmtree(folder / "refine/checkpoints/step_00000004")
    forget(folder)


def kill_before_decision(folder):
    (folder / "refine/decision.json").unlink()
    forget(folder)


def kill_in_sr(folder):
    shutil.rmtree(folder / "checkpoints/step_00000004")


def forget(folder):
    """As before the first checkpoint of the SR network."""
    shutil.rmtree(folder / "checkpoints")
    shutil.rmtree(folder / "bundles")
    (folder / "metrics.jsonl").unlink()


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(kill_in_estimate, marks=pytest.mark.slow),
        kill_in_refine,
        pytest.param(kill_before_decision, marks=pytest.mark.slow),
        kill_in_sr,
    ],
)
def test_killed_in_any_stage_it_goes_on_to_the_same_bits(
    whole, photographs, tmp_path, given, kill
):
    shutil.copytree(whole, tmp_path / "parts")
    kill(tmp_path / "parts")
    run(photographs, tmp_path / "parts")
    assert same_state(whole, tmp_path / "parts")
    assert given["asked"] == (kill is not kill_in_sr)
    for name in ("accepted", "why", "tests"):
        decisions = [
            read_json(x / "refine/decision.json")[name]
            for x in (whole, tmp_path / "parts")
        ]
        assert decisions[0] == decisions[1]


def test_few_photographs_are_not_refined(photographs, tmp_path, given):
    few = dataclasses.replace(ESTIMATE, photographs=ESTIMATE.photographs[:49])
    given["estimate"] = few
    made = run(photographs, tmp_path / "run", "--nonoise")
    decided = Decision.load(made.decision)
    assert (decided.accepted, decided.tested) == ("estimate", 0)
    assert decided.why.startswith("49 photographs say more by measuring")
    assert decided.bundle == "estimate/bundle"
    assert not made.refinement.is_started
    # As asked, without the noise that was measured.
    assert load_bundle(made.bundle("pdm")).config.noise is None


def test_a_diverged_refinement_leaves_the_estimate(
    photographs, tmp_path, given, monkeypatch
):
    """Its exit code is the refinement's, not the run's."""
    real = train._train

    def diverging(config, folder, replicas):
        if config.run_dir.endswith("/refine"):
            return program.NON_FINITE_LOSS
        return real(config, folder, replicas)

    monkeypatch.setattr(train, "_train", diverging)
    made = run(photographs, tmp_path / "run")
    decided = Decision.load(made.decision)
    assert (decided.accepted, decided.why) == ("estimate", "its refinement diverged.")


def test_a_signal_in_the_measurement_ends_with_75(photographs, tmp_path, given):
    given["estimate"] = None  # what `measure` returns then
    made = run(photographs, tmp_path / "run", code=program.INTERRUPTED)
    assert not made.checkpoint_steps and not made.decision.exists()


def test_folders_that_cannot_be_measured_train_as_before(
    photographs, tmp_path, given, monkeypatch, capsys
):
    """With `auto` and a line that says why; with `on` it is an error."""

    def measure(config, folder, say):
        raise NotMeasurable("The photographs are black.")

    monkeypatch.setattr(stages, "measure", measure)
    run(photographs, tmp_path / "run", code=program.BAD_INPUT)
    assert "error: The photographs are black." in capsys.readouterr().err
    config = TrainConfig(hr_dir="hr", lr_dir="lr", run_dir=str(tmp_path / "run"))
    config = dataclasses.replace(config, estimate="auto")
    said = []
    prepared = stages.prepare(config, 0, None, said.append)
    assert prepared == (program.OK, config)
    assert said == [
        "the source is not measured first: The photographs are black. "
        "(--estimate=off: not to try)"
    ]


def test_other_steps_of_refinement_are_another_question(
    whole, photographs, tmp_path, given
):
    """Before the SR network trains they may be changed; afterwards not."""
    shutil.copytree(whole, tmp_path / "run")
    run(photographs, tmp_path / "run", "--refine_steps=6", code=program.BAD_INPUT)
    forget(tmp_path / "run")
    made = run(photographs, tmp_path / "run", "--refine_steps=0")
    why = Decision.load(made.decision).why
    assert why == "no refinement was asked for (--refine_steps=0)."


def test_a_run_from_before_goes_on_as_it_began(photographs, tmp_path, given, capsys):
    """Its config has no such flag, and its degradation is in training."""
    flags = ("--estimate=off", "--steps=2", "--noise_arg=num_blocks=1")
    flags = (*flags, "--noise_arg=filters=8")
    run(photographs, tmp_path / "run", *flags)
    path = tmp_path / "run/config.json"
    settings = read_json(path)
    for name in ("estimate", "estimate_arg", "refine_steps", "lr_held_out"):
        del settings[name]
    path.write_text(json.dumps(settings))
    run(
        photographs,
        tmp_path / "run",
        *flags[2:],
        f"--estimate={DEFAULT.estimate}",
        f"--refine_steps={DEFAULT.refine_steps}",
    )
    assert given["asked"] == 0
    assert "goes on from step 2" in capsys.readouterr().out
