"""The run's settings: refused at the edge, and compared when a run is resumed."""

import dataclasses

import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.train_config import TrainConfig, as_begun, changed_on_resume

GOOD = TrainConfig(hr_dir="hr", run_dir="run")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hr_dir": ""}, "--hr_dir is required"),
        ({"run_dir": ""}, "--run_dir is required"),
        ({"val_hr_dir": "a"}, "go together"),
        ({"steps": 0}, "--steps must be 1 or more. Received: 0"),
        ({"scale": 0}, "--scale"),
        ({"keep_checkpoints": 0}, "--keep_checkpoints"),
        ({"log_every": 0}, "--log_every"),
        ({"validate_every": -1}, "--validate_every must be 0 or more"),
        ({"learning_rate": 0.0}, "--learning_rate"),
        ({"clip_norm": float("inf")}, "--clip_norm"),
        ({"lr_decay": 1.5}, "--lr_decay"),
        ({"ema_decay": 1.0}, "--ema_decay"),
        ({"lr_milestones": (5, 5)}, "--lr_milestones must be positive and rising"),
        ({"lr_milestones": (0, 5)}, "--lr_milestones"),
        ({"lr_milestones": (0.5, 900)}, "parts of the run, all below 1, or steps"),
        ({"lr_milestones": (900.5, 1000)}, "parts of the run, all below 1, or steps"),
        ({"sr_arg": ("num_blocks",)}, "--sr_arg must be written key=value"),
        ({"seed": -1}, "--seed"),
        ({"lr_held_out": 1}, "--lr_held_out must be 0, or 2 or more. Received: 1"),
        ({"refine_steps": -1}, "--refine_steps must be 0 or more. Received: -1"),
        ({"estimate_arg": ("samples",)}, "--estimate_arg must be written key=value"),
    ],
)
def test_bad_settings_are_refused(change, words):
    with pytest.raises(UserError, match=words):
        dataclasses.replace(GOOD, **change)


def test_zero_switches_optional_parts_off():
    off = dataclasses.replace(GOOD, validate_every=0, preview_every=0, ema_decay=0.0)
    assert (off.validate_every, off.preview_every, off.ema_decay) == (0, 0, 0.0)


def test_reporting_and_length_may_change_on_resume():
    free = dataclasses.replace(
        GOOD,
        steps=7,
        run_dir="elsewhere",
        log_every=3,
        save_every=3,
        validate_every=3,
        preview_every=3,
        keep_checkpoints=9,
        val_hr_dir="a",
        val_lr_dir="b",
        val_max_images=2,
        progress="on",
        cache_mb=1,
        threads=5,
    )
    assert changed_on_resume(GOOD, free) == {}


def test_every_other_field_counts_as_a_change():
    other = {
        bool: lambda v: not v,
        int: lambda v: v + 1,
        float: lambda v: v / 2,
        str: lambda v: v + "x",
        tuple: lambda v: (*v, 10**9) if v else ("a=b",),
    }
    choices = {"preset": "paper", "mixed_precision": "bfloat16", "estimate": "on"}
    choices |= {"lr_held_out": 5, "lr_milestones": (0.5,)}
    choices |= {"hr_name": "{stem}_hr", "lr_name": "{stem}_lr"}
    meaningful = [
        f
        for f in dataclasses.fields(TrainConfig)
        if not f.metadata.get("free_on_resume")
    ]
    assert len(meaningful) == 40  # a new field must be placed on one side on purpose
    for field in meaningful:
        old = getattr(GOOD, field.name)
        new = choices.get(field.name) or other[type(old)](old)
        changed = dataclasses.replace(GOOD, **{field.name: new})
        assert changed_on_resume(GOOD, changed) == {field.name: (old, new)}


def test_two_spellings_of_a_path_are_the_same_run():
    same = dataclasses.replace(GOOD, hr_dir="./hr/")
    assert changed_on_resume(GOOD, same) == {}


def test_a_network_may_move_together_with_the_run():
    old = dataclasses.replace(
        GOOD, run_dir="a/run/refine", init_degradation="a/run/estimate/bundle"
    )
    new = dataclasses.replace(
        GOOD, run_dir="b/run/refine", init_degradation="b/run/estimate/bundle"
    )
    assert changed_on_resume(old, new) == {}
    other = dataclasses.replace(new, init_degradation="b/other/bundle")
    assert set(changed_on_resume(old, other)) == {"init_degradation"}


def test_a_path_is_the_same_run_wherever_it_is_written_from(tmp_path, monkeypatch):
    """Absolute, relative or through a link; also in settings, where there is a file."""
    (tmp_path / "pools").mkdir()
    (tmp_path / "pools/kernels.npy").touch()
    (tmp_path / "link").symlink_to(tmp_path / "pools")
    monkeypatch.chdir(tmp_path)
    relative = dataclasses.replace(
        GOOD,
        hr_dir="pools",
        degradation_arg=("kernels=pools/kernels.npy", "read_max=0.1"),
        init=("sr:./pools/",),
    )
    absolute = dataclasses.replace(
        GOOD,
        hr_dir=str(tmp_path / "pools"),
        degradation_arg=(f"kernels={tmp_path}/link/kernels.npy", "read_max=0.1"),
        init=(f"sr:{tmp_path}/pools",),
    )
    assert changed_on_resume(relative, absolute) == {}
    other = dataclasses.replace(absolute, degradation_arg=("kernels=pools/k.npy",))
    assert set(changed_on_resume(absolute, other)) == {"degradation_arg"}


@pytest.mark.parametrize(
    ("given", "steps", "wanted"),
    [
        ((0.25, 0.5, 0.75), 200_000, (50_000, 100_000, 150_000)),  # the paper's
        ((0.6, 0.8), 1_500, (900, 1_200)),
        ((0.25, 0.5, 0.75), 2, (1, 2)),  # each once, none before the first step
        ((900, 1_200), 500, (900, 1_200)),
        ((1,), 10, (1,)),
        ((), 10, ()),
    ],
)
def test_milestones_are_parts_of_the_run_or_steps(given, steps, wanted):
    config = dataclasses.replace(GOOD, steps=steps, lr_milestones=given)
    assert config.milestones == wanted
    assert all(isinstance(step, int) for step in config.milestones)


def test_parts_of_a_run_move_with_its_end_and_resume():
    longer = dataclasses.replace(GOOD, steps=2 * GOOD.steps)
    assert longer.milestones == tuple(2 * step for step in GOOD.milestones)
    assert changed_on_resume(GOOD, longer) == {}


def test_a_run_of_an_earlier_version_keeps_its_milestones():
    """Its default was steps, which config.json says; what is asked for counts."""
    stored = {"lr_milestones": [50_000, 100_000, 150_000]}
    assert as_begun(GOOD, stored).lr_milestones == (50_000, 100_000, 150_000)
    assert as_begun(GOOD, {}) == GOOD
    assert as_begun(GOOD, {"lr_milestones": [900, 1_200]}) == GOOD
    assert as_begun(GOOD, {"refine_steps": 2_000}).refine_steps == 2_000
    asked = dataclasses.replace(GOOD, lr_milestones=(0.5,))
    assert as_begun(asked, stored) == asked
