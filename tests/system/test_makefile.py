"""What `make demo` and `make test` do on machines that have other Pythons, or none.

The installation itself is what every run of CI does.
"""

import os
import shutil
import subprocess
import sys

import pytest


@pytest.fixture
def dry_run(repository, tmp_path):
    """What `make --dry-run` prints, given the stand-ins for Python on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("make", "sh", "sed", "env"):
        (folder / tool).symlink_to(shutil.which(tool))

    def run(pythons: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
        for name, script in pythons.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        return subprocess.run(
            ["make", f"VENV={tmp_path / 'env'}", *arguments],
            cwd=repository,
            env={"PATH": str(folder)},
            capture_output=True,
            text=True,
        )

    return run


FITS = f'exec {sys.executable} "$@"'
# This Python with another version number; the check comes as -c CODE.
PRETEND = (
    f"exec {sys.executable} -c 'import sys; sys.version_info = (3, {{}}); "
    'exec(sys.argv[1])\' "$2"'
)
TOO_OLD, TOO_NEW = PRETEND.format(10), PRETEND.format(14)
DEAD = "echo no such version >&2; exit 127"  # a launcher whose Python is gone


def test_the_first_python_that_fits_is_taken(dry_run, tmp_path):
    pythons = {
        "python3": TOO_NEW,
        "python3.13": DEAD,
        "python3.12": TOO_OLD,
        "python3.11": PRETEND.format(11),
    }
    done = dry_run(pythons, "--dry-run", "demo")
    assert f'\npython3.11 -m venv "{tmp_path / "env"}"\n' in done.stdout
    done = dry_run({"python3": FITS}, "--dry-run", "demo")
    assert "\npython3 -m venv" in done.stdout


def test_without_a_fitting_python_make_says_what_is_needed(dry_run, tmp_path):
    done = dry_run({"python3": TOO_OLD}, "test")
    assert done.returncode == 2
    assert "error: Python 3.11, 3.12 or 3.13 with its venv module" in done.stderr
    assert "Tried: python3 python3.13 python3.12 python3.11." in done.stderr
    assert not (tmp_path / "env").exists()
    assert "Tried: python9." in dry_run({}, "test", "PYTHON=python9").stderr


def test_help_names_every_public_target(repository):
    text = subprocess.run(
        ["make", "help"],
        cwd=repository,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for target in ("demo", "test", "test-all", "lint", "format", "docs", "clean"):
        assert f"make {target} " in text
