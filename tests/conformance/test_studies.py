"""Studies are code too: each parses, and so do the flag files of its methods."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.bundles.networks import SR_NETS
from pdm_tf.cli import flag_set
from pdm_tf.methods import METHODS
from pdm_tf.models.features import VGGConfig
from pdm_tf.studies import checking
from pdm_tf.studies.plan import make_plan
from pdm_tf.study import SPEC
from tests.conformance.smoke import CONFIGS, write_photographs
from tests.support.studying import training_here

STUDIES = sorted((CONFIGS / "studies").glob("*.flags"))


def plan_of(path):
    return make_plan(flag_set.parse(SPEC, [f"--flagfile={path}"]).request)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_run_can_be_planned(path):
    config = flag_set.parse(SPEC, [f"--flagfile={path}"])
    plan = make_plan(config.request)
    assert plan.faults == ()
    cells = [
        (method, dataset)
        for method in config.request.methods
        for dataset in config.request.datasets
    ]
    for cell in cells:
        assert [run.seed for run in plan.row(*cell)] == list(config.seeds)
    for run in plan.runs:
        assert run.config.method in METHODS
    assert config.output == f"studies/{path.stem}"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working directory with what the studies need, in small where it may be."""
    folder = write_photographs(tmp_path_factory.mktemp("place"))
    draw = np.random.default_rng(0)
    kernels = draw.random([8, 21, 21], np.float32)
    np.save(folder / "kernels.npy", kernels / kernels.sum(axis=(1, 2), keepdims=True))
    np.save(folder / "noise.npy", draw.random([2, 64, 64, 3], np.float32))
    networks = {
        "vgg19": VGGConfig(depth=19, filters=2),
        "rrdb_psnr_x4": SR_NETS["rrdbnet"],
        "esrgan_x4": SR_NETS["rrdbnet"],
    }
    for name, config in networks.items():
        save_bundle(config.build(), folder / "bundles" / name, step=0)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_method_builds_and_fits_what_it_starts_from(path, place, monkeypatch):
    """Nothing is trained: the check finds no fault in full-size networks either."""
    request = flag_set.parse(SPEC, [f"--flagfile={path}"]).request
    values = {
        "hr_dir": "hr",
        "lr_dir": "lr",
        "val_hr_dir": "hr",
        "val_lr_dir": "pairs",
        "true_kernels": "kernels.npy",
        "pair_kernels": "kernels.npy",
        "kernel_pool": "kernels.npy",
        "noise_pool": "noise.npy",
    }
    datasets = {
        name: {key: values[key] for key in given}
        for name, given in request.datasets.items()
    }
    request = dataclasses.replace(request, datasets=datasets, seeds=(0,))
    monkeypatch.chdir(place)
    with training_here():
        plan = make_plan(request)
        assert checking.check(plan, plan.runs, {}, {}) == []


def test_the_flag_files_of_methods_are_all_used():
    """None is left over in the folders of the studies."""
    used = set()
    for path in STUDIES:
        request = plan_of(path).request
        for method in request.flag_files.values():
            for dataset in request.datasets:
                used |= including(
                    method.replace("{dataset}", dataset), request, dataset
                )
    there = {path.resolve() for path in (CONFIGS / "studies").glob("*/*.flags")}
    assert there <= used, sorted(there - used)


def including(path, request, dataset):
    """A flag file and those that it includes."""
    found = {Path(path).resolve()}
    values = {**request.datasets[dataset], "dataset": dataset}

    def fill(text, where):
        found.add(Path(where.rpartition(":")[0]).resolve())
        for key, value in values.items():
            text = text.replace(f"{{{key}}}", value)
        return text

    flag_set.expand([f"--flagfile={path}"], fill)
    return found


def after_first_stage(config):
    """The schedule of the SR network alone, where another stage comes first."""
    settings = dict(arg.split("=", 1) for arg in config.method_arg)
    first = int(settings.get("first_steps", 0))
    milestones = tuple(step - first for step in config.lr_milestones)
    return dataclasses.replace(
        config, steps=config.steps - first, lr_milestones=milestones
    )


def test_the_small_study_is_one_of_equals():
    """One network, batch and schedule of it for all; all but one start from one."""
    plan = plan_of(CONFIGS / "studies/table2_small.flags")
    free = ("method", "method_arg", "lr_dir", "init_sr", "seed", "run_dir")
    free += ("degradation_arg", "kernel_arg", "noise", "noise_arg")
    free += ("discriminator_arg", "net", "net_arg", "preset", "init")
    equal = {
        tuple(
            getattr(config, field.name)
            for field in dataclasses.fields(config)
            if field.name not in free
        )
        for config in map(after_first_stage, (run.config for run in plan.runs))
    }
    assert len(equal) == 1
    for run in plan.runs:
        wanted = () if run.method == "edsr" else (f"edsr@s{run.seed}",)
        assert run.after == wanted
        assert run.config.steps >= 1500 and len(plan.request.seeds) == 3
