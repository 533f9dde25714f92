"""The Dockerfile names what exists; no image is built here."""

import re
from importlib import metadata
from pathlib import Path

import yaml

from pdm_tf import __version__
from pdm_tf.cli.commands import COMMANDS, DOOR

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_its_python_and_extras_are_ours():
    minor = int(re.search(r"^FROM python:3\.(\d+)-slim$", DOCKERFILE, re.M)[1])
    assert 11 <= minor < 14
    extras = re.findall(r"EXTRAS=([\w,]+)", DOCKERFILE)
    known = set(metadata.metadata("pdm_tf").get_all("Provides-Extra"))
    assert len(extras) == 2 and all(set(x.split(",")) <= known for x in extras)


def test_it_starts_a_command_that_is_installed():
    assert f'ENTRYPOINT ["{DOOR}"]' in DOCKERFILE
    scripts = metadata.entry_points(group="console_scripts")
    assert DOOR in {script.name for script in scripts}
    called = re.findall(r"docker run .* pdm_tf(?::gpu)? (\w+) ", DOCKERFILE)
    assert called and set(called) <= set(COMMANDS)


def test_the_citation_has_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert citation["preferred-citation"]["year"] == 2022
