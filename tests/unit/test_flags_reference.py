"""The reference of flags names every flag and explains every setting."""

import dataclasses
import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def reference():
    place = ROOT / "docs" / "flags_reference.py"
    spec = importlib.util.spec_from_file_location("flags_reference", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_program_and_every_flag_with_its_default_is_there(reference):
    page = reference.flags_page()
    sections = re.split(r"^## (.+)$", page, flags=re.M)[1:]
    tables = dict(zip(sections[::2], sections[1::2], strict=True))
    recorded = json.loads((ROOT / "tests" / "golden" / "flags.json").read_text())
    for program, flags in recorded.items():
        module, *task = program.split()
        name = next(
            name
            for name, command in reference.COMMANDS.items()
            if command.module == module
        )
        table = tables[" ".join([name, *task])]
        for flag, default in flags.items():
            row = re.search(rf"^\| `--{flag}` \| (.*?) \| .", table, re.M)
            assert row, f"--{flag} of {program}"
            assert row[1] == (f"`{default}`" if default else "")


def test_every_setting_is_explained(reference):
    for flag, table in reference.settings().items():
        for name, config in table.items():
            about = reference.attributes(config)
            fields = [field.name for field in dataclasses.fields(config)]
            assert [x for x in fields if not about.get(x)] == [], f"{flag}, {name}"
    page = reference.settings_page()
    # Sentences of several lines arrive whole.
    assert "`losses.anchor_loss`; nothing for a PDM without estimate." in page
    row = re.search(
        r"^### EDSR$.*?^\| `filters` \| `(\d+)` \| (.+) \|$", page, re.M | re.S
    )
    assert row[1] == "64"
    assert "### pdm_sr\n" in page and "`r1" not in page


def test_what_stands_between_is_no_markdown(reference):
    assert reference._escaped("a_b * `c|d_e` <f>") == r"a\_b \* `c\|d_e` \<f\>"
