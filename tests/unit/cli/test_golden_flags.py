"""Each program has the flags it had, with the defaults it had; new ones may come."""

import re

import pytest

from tests.support import golden
from tests.support.programs import run_here

RECORDED = golden.read("flags.json")


@pytest.mark.parametrize("program", RECORDED)
def test_help_names_the_recorded_flags_and_defaults(program):
    module, *task = program.split()
    text = run_here(module, *task, "--help")
    blocks = re.split(r"^  --(?:\[no\])?(\w+)", text, flags=re.M)[1:]
    now = {
        name: " ".join(block.split())
        for name, block in zip(blocks[::2], blocks[1::2], strict=True)
    }
    for name, default in RECORDED[program].items():
        assert name in now, f"--{name} is gone"
        ending = f" Default: {default}." if default else ""
        assert ending in now[name], f"--{name}: {now[name]}"
