"""What cannot work is found before the first run, all of it, in one look."""

import shutil

import numpy as np
import pytest

from pdm_tf.core.stored import read_json
from pdm_tf.studies import checking
from pdm_tf.studies.plan import Request, make_plan
from tests.conformance.smoke import write_photographs

TINY = [
    *("--hr_dir={hr_dir}", "--steps=2", "--batch_size=2", "--lr_patch=12"),
    *("--sr_arg=num_blocks=1", "--report=off", "--validate_every=0"),
]
NARROW = "--sr_arg=filters=4"
PDM = [
    *("--method=pdm_sr", "--nonoise", "--lr_dir={lr_dir}", "--init_sr={run:edsr}"),
    *("--kernel_arg=kernel_size=9", "--kernel_arg=num_blocks=1"),
    *("--kernel_arg=filters=4", "--discriminator_arg=filters=4"),
]
METHODS = {"edsr": ["--method=supervised", NARROW], "ours": [*PDM, NARROW]}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture
def here(monkeypatch):
    """Checks in this process, which has TensorFlow; counts how often it is asked."""
    asked = []

    def start(request, answer):
        asked.append(read_json(request))
        checking.main(str(request), str(answer))

    monkeypatch.setattr(checking, "start", start)
    return asked


def check(folder, photographs, methods=METHODS, metrics=("psnr",), **data):
    data = {
        "hr_dir": str(photographs / "hr"),
        "lr_dir": str(photographs / "lr"),
        "val_hr_dir": str(photographs / "hr"),
        "val_lr_dir": str(photographs / "pairs"),
        **data,
    }
    paths = {}
    for name, lines in methods.items():
        path = folder / f"{name}.flags"
        path.write_text("\n".join([*TINY, *lines]))
        paths[name] = str(path)
    plan = make_plan(Request({"set": data}, paths, {}, (0, 1), 0, folder / "study"))
    assert not plan.faults
    faults = checking.check(plan, plan.runs, {"set": metrics}, {})
    return plan, {fault.who: fault.why for fault in faults}


def test_what_can_work_is_built_once_and_counted(tmp_path, photographs, here):
    """ours starts from a stand-in of edsr, which is not trained yet."""
    pool = tmp_path / "pool"
    pool.mkdir()
    np.save(pool / "kernels.npy", np.full([2, 5, 5], 0.04))
    lines = [*METHODS["edsr"], "--method_arg=degradation=pool"]
    pooled = [*lines, f"--degradation_arg=kernels={pool}/kernels.npy"]
    methods = {**METHODS, "pool": pooled}
    plan, faults = check(tmp_path, photographs, methods)
    assert faults == {}
    study = plan.request.folder
    for seed in (0, 1):
        edsr = checking.parameters_of(study, plan.by_name[f"edsr@s{seed}"])
        ours = checking.parameters_of(study, plan.by_name[f"ours@set@s{seed}"])
        assert 0 < edsr["sr"] == edsr["trained"] == ours["sr"] < ours["trained"]
    assert [run["build"] for run in here[0]["runs"]] == [True] * 3
    check(tmp_path, photographs, methods)
    assert [run["build"] for run in here[1]["runs"]] == [False] * 3
    assert not (study / "runs").exists()
    shutil.rmtree(pool)
    assert set(check(tmp_path, photographs, methods)[1]) == {"pool@s0"}
    changed = {**METHODS, "ours": [*PDM, NARROW, "--learning_rate=1e-3"]}
    check(tmp_path, photographs, changed)
    assert [run["build"] for run in here[-1]["runs"]] == [False, True]


def test_all_faults_are_told_at_once(tmp_path, photographs, here):
    methods = {
        **METHODS,
        "wide": [*PDM, "--sr_arg=filters=8"],
        "misspelt": ["--method=supervised", NARROW, "--sr_arg=filtres=3"],
        "pool": [
            *("--method=supervised", NARROW, "--method_arg=degradation=pool"),
            "--degradation_arg=kernels=none.npy",
        ],
        "second": [
            *("--method=cyclesr", "--lr_dir={lr_dir}", NARROW),
            "--method_arg=training=second",
        ],
        "onward": [*PDM[:-1], NARROW, "--init_degradation={run:misspelt}"],
    }
    np.save(tmp_path / "pairs.npy", np.ones([3, 5, 5]))
    _, faults = check(
        tmp_path,
        photographs,
        methods,
        ["psnr", "niqe"],
        pair_kernels=str(tmp_path / "pairs.npy"),
        true_kernels="nothing.npy",
        real_lr="nowhere",
    )
    wanted = {
        "wide@set@s0": "must hold the network that --sr_net",
        "misspelt@s0": "Did you mean 'filters'",
        "pool@s0": "none.npy",
        "second@set@s0": "--init",
        "onward@set@s0": "starts from misspelt@s0, which has a fault",
        "set.pair_kernels": "3 kernels, 8 pairs",
        "set.true_kernels": "nothing.npy",
        "set.real_lr": "nowhere",
        "--metrics on set": "niqe needs",
    }
    assert set(faults) == set(wanted)
    for who, why in wanted.items():
        assert why in faults[who], (who, faults[who])


def test_folders_that_are_not_there(tmp_path, photographs, here):
    """Of the runs that read them, and of the evaluation."""
    empty = tmp_path / "empty"
    empty.mkdir()
    _, faults = check(
        tmp_path, photographs, hr_dir=str(empty), lr_dir="no", val_lr_dir="never"
    )
    assert set(faults) == {"edsr@s0", "ours@set@s0", "set.val_lr_dir"}


def test_metrics_that_need_a_reference(tmp_path, photographs, here):
    _, faults = check(tmp_path, photographs, metrics=["psnr"], val_hr_dir="")
    assert set(faults) == {"--metrics on set"}
    assert "psnr" in faults["--metrics on set"]


def test_a_fault_is_found_again(tmp_path, photographs, here):
    """Only what can work is remembered."""
    methods = {"edsr": ["--method=supervised", "--sr_arg=filtres=3"]}
    for _ in range(2):
        assert set(check(tmp_path, photographs, methods)[1]) == {"edsr@s0"}
    memory = tmp_path / "study/states/checked.json"
    assert read_json(memory) == {}
