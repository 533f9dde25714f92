"""When a run measures its source first."""

import dataclasses

import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.source_first.choice import choose
from pdm_tf.train_config import TrainConfig

PLAIN = TrainConfig(hr_dir="hr", lr_dir="lr", run_dir="run", estimate="auto")


def asked(**changes):
    return dataclasses.replace(PLAIN, **changes)


def test_the_default_is_to_measure():
    assert choose(PLAIN) == (True, "")
    assert choose(asked(noise=False)) == (True, "")
    assert choose(asked(sr_arg=("filters=8",), discriminator_arg=("filters=8",))).on
    srgan = asked(method="pdm_srgan", features="random")
    assert choose(srgan).on


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "supervised"},
        {"method": "bulat"},
        {"method_arg": ("training=sr",)},
        {"estimate": "off"},
    ],
)
def test_where_nothing_is_learned_that_could_be_measured_nothing_is_said(changes):
    assert choose(asked(**changes)) == (False, "")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"method_arg": ("training=degradation",)}, "training=degradation"),
        ({"method_arg": ("training=separate",)}, "training=separate"),
        ({"preset": "paper"}, "--preset=paper"),
        ({"init_degradation": "runs/a"}, "another start: runs/a"),
        ({"init": ("pdm:runs/a",)}, "another start: pdm:runs/a"),
    ],
)
def test_what_speaks_against_it_is_a_remark_and_with_on_an_error(changes, told):
    choice = choose(asked(**changes))
    assert not choice.on
    assert choice.remark.startswith("the source is not measured first: --estimate ")
    assert told in choice.remark
    with pytest.raises(UserError, match="--estimate=on ") as error:
        choose(asked(**changes | {"estimate": "on"}))
    assert told in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"kernel_arg": ("num_blocks=4",)},
        {"noise_arg": ("conv_size=1",)},
        {"jpeg_arg": ("subsampling=444",)},
        {"net_arg": ("pdm.kernel=x",)},
    ],
)
def test_a_form_of_ones_own_is_learned_unless_asked_for(changes):
    choice = choose(asked(**changes))
    assert not choice.on
    assert "(--estimate=on measures all the same.)" in choice.remark
    assert choose(asked(**changes | {"estimate": "on"})).on


def test_several_machines_and_shards_are_told(tmp_path):
    assert "2 workers" in choose(PLAIN, workers=2).remark
    (tmp_path / "index.json").write_text("{}")
    assert "TFRecord shards" in choose(asked(lr_dir=str(tmp_path))).remark


def test_another_method_is_refused_with_on():
    with pytest.raises(UserError, match="Received: --method=supervised"):
        choose(asked(method="supervised", estimate="on"))
