"""Runs of a study: names, flags, order, and what cannot be planned."""

import re

import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.studies.plan import make_plan, read_datasets, read_methods
from tests.unit.studies.studies import DATA, METHODS, request


def names(plan):
    return [run.name for run in plan.runs]


def whys(plan):
    return {fault.who: fault.why for fault in plan.faults}


def test_a_run_is_shared_where_no_data_set_makes_a_difference(tmp_path):
    """EDSR reads clean photographs alone; what starts from it follows it."""
    plan = make_plan(request(tmp_path))
    assert not plan.faults
    assert names(plan) == [
        *("edsr@s0", "ours@blur@s0", "ours@noise@s0"),
        *("edsr@s1", "ours@blur@s1", "ours@noise@s1"),
    ]
    run = plan.by_name["ours@noise@s1"]
    assert run.after == ("edsr@s1",) and run.datasets == ("noise",)
    assert run.config.init_sr == str(tmp_path / "study/runs/edsr@s1")
    assert (run.config.lr_dir, run.config.seed) == ("data/noise", 1)
    assert run.config.run_dir == str(tmp_path / "study/runs/ours@noise@s1")
    assert plan.by_name["edsr@s0"].datasets == ("blur", "noise")
    assert [r.name for r in plan.row("edsr", "noise")] == ["edsr@s0", "edsr@s1"]
    assert run.evaluation("noise") == "ours@noise@s1"


def test_other_photographs_make_another_run(tmp_path):
    """Of three data sets two have the same HR photographs."""
    data = {**DATA, "far": {**DATA["blur"], "hr_dir": "data/far"}}
    plan = make_plan(request(tmp_path, datasets=data, seeds=[0]))
    assert {n for n in names(plan) if "edsr" in n} == {"edsr@blur@s0", "edsr@far@s0"}
    assert plan.by_name["edsr@blur@s0"].datasets == ("blur", "noise")
    assert plan.by_name["ours@noise@s0"].after == ("edsr@blur@s0",)


def test_with_one_data_set_only_what_reads_clean_photographs_is_shared(tmp_path):
    """So a second one can be added without training anything again."""
    one = {"blur": DATA["blur"]}
    plan = make_plan(request(tmp_path, datasets=one, seeds=[0]))
    assert names(plan) == ["edsr@s0", "ours@blur@s0"]


def test_rows_may_refer_to_later_rows_and_each_is_planned_once(tmp_path):
    methods = {"srgan": ["--init_sr={run:ours}"], **METHODS}
    plan = make_plan(request(tmp_path, methods, {"blur": DATA["blur"]}, [3]))
    assert names(plan) == ["edsr@s3", "ours@blur@s3", "srgan@blur@s3"]


def test_the_name_of_the_data_set_chooses_a_flag_file(tmp_path):
    (tmp_path / "noise_blur.flags").write_text("--nonoise")
    (tmp_path / "noise_noise.flags").write_text("--noise_arg=num_blocks=2")
    methods = {"ours": ["--lr_dir={lr_dir}", "--flagfile=noise_{dataset}.flags"]}
    plan = make_plan(request(tmp_path, methods, seeds=[0], steps=7))
    configs = [run.config for run in plan.runs]
    assert [c.noise for c in configs] == [False, True]
    assert configs[1].noise_arg == ("num_blocks=2",)
    assert {c.steps for c in configs} == {7}


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["--lr_dir={pool}"], "{KEY} must be a key that --dataset gives blur"),
        (["--init_sr={run:edrs}"], "a method or a stage.*Did you mean 'edsr'"),
        (["--init_sr={run:bad}"], "in a circle. Received: bad from bad"),
        (["--sed=1"], r"unknown flag --sed \(.*bad.flags:3\)"),
        (["--seed=1"], r"--seed is decided by --seeds.*bad.flags:3\)"),
        (["--flagfile=none.flags"], "none.flags does not exist"),
        (["--steps=0"], "--steps must be 1 or more"),
    ],
)
def test_what_cannot_be_planned_is_named_and_the_others_are_planned(
    tmp_path, lines, why
):
    plan = make_plan(request(tmp_path, {**METHODS, "bad": lines}, seeds=[0]))
    found = whys(plan)
    assert set(found) == {"bad on blur", "bad on noise"}
    assert re.search(why, found["bad on blur"]), found
    assert names(plan) == ["edsr@s0", "ours@blur@s0", "ours@noise@s0"]


def test_a_circle_is_told_once_and_what_hangs_on_it_too(tmp_path):
    methods = {
        "a": ["--init_sr={run:b}"],
        "b": ["--init_sr={run:a}"],
        "c": ["--init_sr={run:a}"],
    }
    plan = make_plan(request(tmp_path, methods, seeds=[0]))
    found = whys(plan)
    assert not plan.runs and len(found) == 6
    assert "Received: a from b from a" in found["b on blur"]
    assert found["c on blur"] == "it starts from a, which has a fault of its own."


def test_one_scale_for_all(tmp_path):
    """Tables of several would be refused after days of training."""
    methods = {**METHODS, "small": ["--method=supervised", "--scale=2"]}
    found = whys(make_plan(request(tmp_path, methods)))
    assert (
        set(found) == {"--scale"} and "edsr x4, ours x4, small x2" in found["--scale"]
    )


def test_chosen_runs_bring_what_they_start_from(tmp_path):
    plan = make_plan(request(tmp_path))
    found = [run.name for run in plan.chosen(["ours@*@s1"])]
    assert found == ["edsr@s1", "ours@blur@s1", "ours@noise@s1"]
    assert len(plan.chosen([])) == 6
    with pytest.raises(UserError, match="'ours@blur@s2'. Did you mean 'ours@blur@s"):
        plan.chosen(["ours@blur@s2"])


def test_a_stage_is_trained_and_is_no_row(tmp_path):
    methods = {
        "first": ["--method_arg=training=degradation", "--lr_dir={lr_dir}"],
        "ours": ["--method_arg=training=sr", "--init_degradation={run:first}"],
    }
    one = {"datasets": {"blur": DATA["blur"]}, "seeds": [0]}
    plan = make_plan(request(tmp_path, methods, **one, stages=["first"]))
    assert names(plan) == ["first@blur@s0", "ours@blur@s0"]
    assert list(plan.request.methods) == ["ours"]
    alone = {"first": methods["first"], **METHODS}
    plan = make_plan(request(tmp_path, alone, **one, stages=["first"]))
    assert whys(plan) == {
        "--stage=first": "no method starts from it, as {run:first} in a flag file"
    }


def test_a_flag_file_may_have_a_run_dir_of_its_own(tmp_path):
    """As those that are shipped have; the study takes another."""
    methods = {"edsr": ["--method=supervised", "--run_dir=runs/mine"]}
    (run, _) = make_plan(request(tmp_path, methods)).runs
    assert run.config.run_dir == str(tmp_path / "study/runs/edsr@s0")


def test_names_and_keys():
    assert read_datasets(["a.hr_dir=x=y", "a.hr_dir=z", "b.lr=1"]) == {
        "a": {"hr_dir": "z"},
        "b": {"lr": "1"},
    }
    for text in ("a=b", "a.b", ".hr_dir=x", "a@b.hr=x", "a.2=x"):
        with pytest.raises(UserError, match="NAME.KEY=VALUE"):
            read_datasets([text])
    assert read_methods(["a=x.flags", "B+=y"]) == {"a": "x.flags", "B+": "y"}
    for text in ("a", "a=", "a@b=x", "a b=x"):
        with pytest.raises(UserError, match="NAME=FLAGFILE"):
            read_methods([text])
    with pytest.raises(UserError, match="a name of its own. Received: a=x and a=y"):
        read_methods(["a=x", "a=y"])
