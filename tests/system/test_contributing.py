"""The recipes of CONTRIBUTING.md do what they say, carried out on one copy.

New files are written, diffs applied and commands run exactly as they stand on the page;
all commands share one process.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pdm_tf.core.images import list_images, read_rgb_u8
from pdm_tf.core.stored import read_json
from pdm_tf.inference.session import open_session
from pdm_tf.run import Run
from tests.unit import test_import_table

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
HEAD, *RECIPES = PAGE.split("\n### To add a ")
KINDS = ("network", "degradation", "method", "metric", "flag")
# A Git repository is not among them: diffs are for any copy.
COPIED = ("pdm_tf", "export", "tests", "configs", "docs", "pyproject.toml")

COMMANDS_AND_RESULTS = ("commands.json", "results.json")
NEW_FILE = re.compile(
    r"^New file \*\*([\w/]+\.py)\*\*:\n\n```python\n(.*?)^```$", re.M | re.S
)


def blocks(language, text):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def commands(text):
    """The commands of all ```bash blocks; one may go on over several lines."""
    lines = "".join(blocks("bash", text)).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the checkout with all recipes in it, nothing run yet."""
    folder = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        else:
            shutil.copy2(ROOT / name, folder / name)
    for recipe in RECIPES:
        for name, text in NEW_FILE.findall(recipe):
            assert not (folder / name).exists(), name
            (folder / name).write_text(text, encoding="utf-8")
        for diff in blocks("diff", recipe):
            done = subprocess.run(
                ["git", "apply", "-"],
                input=diff,
                cwd=folder,
                # Within somebody's repository it would pass over files outside it.
                env={**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr + diff
    return folder


@pytest.fixture(scope="module")
def printed(copy):
    """command -> what it printed; none has failed."""
    lines = [line for recipe in RECIPES for line in commands(recipe)]
    given, got = (copy / name for name in COMMANDS_AND_RESULTS)
    given.write_text(json.dumps(lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.commands", *COMMANDS_AND_RESULTS],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = read_json(got, list)
    for line, (code, text) in zip(lines, results, strict=True):
        assert code == 0, f"{line}\n{text}"
    return {line: text for line, (_, text) in zip(lines, results, strict=True)}


def test_there_is_a_recipe_for_each_kind():
    assert tuple(recipe.splitlines()[0] for recipe in RECIPES) == KINDS
    assert all(blocks("diff", recipe) for recipe in RECIPES)
    assert len(NEW_FILE.findall(PAGE)) == len(blocks("python", PAGE)) == 4


def test_other_commands_are_what_they_say():
    """`make test` itself is in test_makefile.py and test_docs_commands.py."""
    slow = "python -m pytest -m slow tests/system/test_scales.py"
    assert commands(HEAD) == ["make test", slow]
    text = (ROOT / "tests/system/test_scales.py").read_text(encoding="utf-8")
    assert "pytest.mark.slow" in text


def test_what_is_added_keeps_to_style_and_to_the_import_table(copy, monkeypatch):
    diffs = "".join(blocks("diff", PAGE))
    names = re.findall(r"^\+\+\+ b/(.*)$", diffs, re.M)
    names += [name for name, _ in NEW_FILE.findall(PAGE)]
    assert len(names) == 11
    monkeypatch.setattr(test_import_table, "ROOT", copy)
    for name in names:
        assert not test_import_table.violations(copy / name), name
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "--no-cache", *names],
            cwd=copy,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_conformance_tests_take_it_up_by_themselves(kind, printed):
    """pytest fails where nothing is selected."""
    (command,) = (
        line for line in commands(RECIPES[KINDS.index(kind)]) if "-m pytest" in line
    )
    passed = re.search(r"(\d+) passed", printed[command])
    least = {"network": 15, "degradation": 6, "method": 5, "metric": 1, "flag": 2}
    assert int(passed[1]) >= least[kind], printed[command]


@pytest.mark.slow
def test_network_trains_and_is_exported(copy, printed):
    index = Run(copy / "runs/espcn").index("sr_ema")
    assert (index["network"], index["role"], index["scale"]) == ("ESPCN", "sr", 2)
    assert index["config"]["filters"] == 8 and index["step"] == 2
    certificate = read_json(copy / "exported/espcn/certificate.json")
    assert certificate["passed"]
    assert certificate["networks"]["architecture"] == "ESPCN"
    session = open_session(copy / "exported/espcn/model.onnx", provider="cpu")
    assert session.info.overlap == 4


@pytest.mark.slow
def test_degradation_makes_pairs(copy, printed):
    folder = copy / "results/box_blur"
    assert np.load(folder / "kernels.npy").shape == (2, 5, 5)
    for path in list_images(folder / "lr"):
        assert read_rgb_u8(path).shape == (48, 48, 3)
    settings = read_json(folder / "degrade.json")
    assert settings["degradation_arg"] == "kernel_size=5"
    assert settings["grid"] == "pixel0"


@pytest.mark.slow
def test_method_trains(copy, printed):
    run = Run(copy / "runs/l2")
    losses = [r["loss/sr_l2"] for r in run.metrics if "loss/sr_l2" in r]
    assert len(losses) == 2 and 0 < losses[1] < 1
    index = run.index("sr")
    assert index["notes"]["method"] == "supervised_l2"
    assert index["grid"] == "pixel0"


@pytest.mark.slow
def test_metric_is_reported(copy, printed):
    report = read_json(copy / "results/mae/report.json")
    assert 0 < report["mean"]["mae"] < 255
    for name in ("report.md", "report.html"):
        assert "mae" in (copy / "results/mae" / name).read_text(encoding="utf-8")


@pytest.mark.slow
def test_flag_is_used_kept_and_free_on_resume(copy, printed):
    run = copy / "runs/noted"
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert "a first try" in log and "and on" in log
    assert "--log_note=and on\n" in (run / "flags.txt").read_text(encoding="utf-8")
    assert Run(run).checkpoint_steps == [2, 3]
