"""`pdm_tf COMMAND`: which program starts, what help says, and that it is quick."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pdm_tf import __main__, __version__
from pdm_tf.cli.commands import COMMANDS, how_to_start, opened

ROOT = Path(__file__).resolve().parents[3]
# The door itself, the frame of programs, and a part of `study`.
NOT_COMMANDS = {"pdm_tf", "pdm_tf.cli.program", "pdm_tf.studies.checking"}


def door(monkeypatch, *arguments, started="/env/bin/pdm_tf"):
    """Runs the front door in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", [started, *arguments])
    with pytest.raises(SystemExit) as end:
        __main__.main()
    return end.value.code


def test_every_program_has_a_command_and_no_other():
    starts = 'if __name__ == "__main__":'
    programs = set()
    for package in ("pdm_tf", "export"):
        for path in (ROOT / package).rglob("*.py"):
            if starts in path.read_text(encoding="utf-8"):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                programs.add(name.removesuffix(".__main__"))
    assert {command.module for command in COMMANDS.values()} == programs - NOT_COMMANDS


def test_help_fits_one_screen_and_names_every_command(monkeypatch, capsys):
    assert door(monkeypatch, "--help") == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 88
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.summary)}$", text, re.M)


def test_help_and_version_load_neither_tensorflow_nor_absl():
    code = (
        "import sys; sys.argv = ['pdm_tf', '{}']\n"
        "from pdm_tf.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {{'tensorflow', 'absl', 'numpy', 'PIL'}} & set(sys.modules)\n"
        "print('heavy', sorted(heavy))"
    )
    for flag in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(flag)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.endswith("heavy []\n")


def test_version(monkeypatch, capsys):
    assert door(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"pdm_tf {__version__}\n"


def test_a_wrong_command_is_told_the_near_one(monkeypatch, capsys):
    assert door(monkeypatch, "upscal", "--input=a") == 2
    assert capsys.readouterr().err == (
        "error: pdm_tf has no command 'upscal'. Did you mean 'upscale'?\n"
    )
    assert door(monkeypatch, "--hr_dir=a") == 2
    assert "Valid: demo, estimate, train" in capsys.readouterr().err


def test_no_command_gets_help_and_an_error_code(monkeypatch, capsys):
    assert door(monkeypatch) == 2
    assert capsys.readouterr().err.startswith("usage: pdm_tf COMMAND")


def test_a_program_gets_the_flags_and_its_exit_code_is_passed_on(monkeypatch, capsys):
    assert door(monkeypatch, "upscale", "--model=a") == 2
    told = "--input is required. Received nothing. See pdm_tf upscale --help.\n"
    assert capsys.readouterr().err.endswith(told)
    assert door(monkeypatch, "interpolate", "--help") == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: pdm_tf interpolate [--flagfile")
    assert "python -m pdm_tf.interpolate" not in out


def test_a_program_of_its_own_is_called_as_it_was_started(monkeypatch, capsys):
    assert how_to_start("pdm_tf.train") == "python -m pdm_tf.train"
    with opened("pdm_tf"):
        assert how_to_start("pdm_tf.train") == "pdm_tf train"
        assert how_to_start("export") == "pdm_tf export"
        assert how_to_start("export.no_program") == "python -m export.no_program"
    started = str(ROOT / "pdm_tf" / "__main__.py")
    assert door(monkeypatch, "degrade", "--help", started=started) == 0
    assert capsys.readouterr().out.startswith("usage: python -m pdm_tf degrade ")


def test_commands_name_modules_that_are_there():
    for command in COMMANDS.values():
        assert importlib.util.find_spec(command.module) is not None
