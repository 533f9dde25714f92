"""The guide to degradations: its settings are the code's, its flags can be built."""

import dataclasses
import re

import pytest

from pdm_tf import build
from pdm_tf.degradations import (
    KernelModuleConfig,
    NoiseModuleConfig,
    ParametricNoiseConfig,
)
from pdm_tf.methods import PDMSRConfig
from pdm_tf.methods.collapse import _CAUSES
from tests.conformance.smoke import ROOT, parse

PAGE = (ROOT / "docs" / "guide" / "degradation.md").read_text(encoding="utf-8")
SECTIONS = dict(section.split("\n", 1) for section in ("head\n" + PAGE).split("\n## "))
CELLS = re.findall(r"^\| [^|]+ \| (`--.*`) \|$", SECTIONS["head"], re.MULTILINE)
OFFERED = [found for cell in CELLS for found in re.findall(r"`([^`]+)`", cell)]


def rows(section):
    """First two cells of each row of the section's table."""
    found = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", SECTIONS[section], re.MULTILINE)
    return {name: cell.strip("` ") for name, cell in found}


def test_what_holds_an_estimate_has_the_methods_defaults():
    method = PDMSRConfig()
    found = rows("Going on from an estimate")
    assert found == {name: text(getattr(method, name)) for name in found}
    assert len(found) == 4


@pytest.mark.parametrize(
    ("section", "config"),
    [
        ("Settings of the kernels", KernelModuleConfig()),
        ("Settings of the noise", NoiseModuleConfig()),
        ("Settings of parametric noise", ParametricNoiseConfig()),
    ],
)
def test_settings_and_their_defaults_are_those_of_the_code(section, config):
    wanted = {name: text(x) for name, x in dataclasses.asdict(config).items()}
    assert rows(section) == wanted


def text(value):
    """A setting as flags take it."""
    if isinstance(value, tuple):
        return ",".join(str(x) for x in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_cause_of_the_alarm_is_explained():
    assert set(rows("What the collapse alarm says")) == set(_CAUSES)


def test_the_page_offers_a_flag_in_every_row():
    assert len(CELLS) == 10 and len(OFFERED) == 11


@pytest.mark.parametrize("flags", OFFERED)
def test_flags_that_are_offered_build(flags):
    small = [
        *("--kernel_arg=filters=4", "--kernel_arg=num_blocks=1"),
        *("--sr_arg=filters=4", "--sr_arg=num_blocks=1"),
        *("--discriminator_arg=filters=4", "--report=off"),
    ]
    if "--nonoise" not in flags and "form=parametric" not in flags:
        small += ["--noise_arg=filters=4", "--noise_arg=num_blocks=1"]
    place = ["--hr_dir=hr", "--lr_dir=lr", "--run_dir=run"]
    config = parse("parts/smoke.flags", *place, *small, *flags.split())
    assert build.build_method(config).networks["pdm"].trainable_variables
