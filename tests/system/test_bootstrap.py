"""What `make demo` and `make test` say on machines that lack something.

The installation itself is what every run of CI does; here stand-ins for Python show
each way in which a machine can fall short, without a network.
"""

import importlib.util
import shutil
import stat
import subprocess
import sys

import pytest


@pytest.fixture
def bootstrap(repository, monkeypatch):
    path = repository / ".ci" / "bootstrap.py"
    spec = importlib.util.spec_from_file_location("bootstrap", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An empty PATH; returns a function that puts a pretended Python on it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def add(name: str, version: str, missing: str = "-") -> str:
        path = folder / name
        path.write_text(f"#!/bin/sh\necho '{version} {missing} {path}'\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return add


def test_the_first_python_that_fits_is_taken(bootstrap, machine):
    machine("python3.13", "3.13", missing="ensurepip")
    machine("python3", "3.14")
    right = machine("python3.11", "3.11")
    assert bootstrap.find_python("") == right


def test_every_rejected_python_is_named_with_its_reason(bootstrap, machine, capsys):
    machine("python3.12", "3.12", missing="ensurepip")
    machine("python3", "3.9")
    with pytest.raises(SystemExit) as end:
        bootstrap.find_python("")
    assert end.value.code == 2
    text = capsys.readouterr().err
    assert "python3.13   not found" in text
    assert "Python 3.12 lacks the module ensurepip" in text
    assert "apt install python3.12-venv" in text
    assert "python3      is Python 3.9" in text
    assert "make PYTHON=" in text


def test_a_named_python_is_the_only_candidate(bootstrap, machine, capsys):
    machine("python3.11", "3.11")
    old = machine("old", "3.8")
    with pytest.raises(SystemExit):
        bootstrap.find_python(old)
    assert "is Python 3.8" in capsys.readouterr().err


def test_a_dead_launcher_is_passed_over(bootstrap, machine, tmp_path):
    """pyenv leaves launchers of versions that are not switched on."""
    dead = tmp_path / "bin" / "python3.13"
    dead.write_text(
        "#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127"
    )
    dead.chmod(0o755)
    right = machine("python3.12", "3.12")
    version, reason, _ = bootstrap.probe(str(dead))
    assert version == ()
    assert "command not found" in reason
    assert bootstrap.find_python("") == right


def test_a_full_disk_is_told_before_anything_is_made(
    bootstrap, tmp_path, monkeypatch, capsys
):
    usage = type("Usage", (), {"free": 1.5e9})
    monkeypatch.setattr(bootstrap.shutil, "disk_usage", lambda folder: usage)
    argv = ["x", "--venv", str(tmp_path / "venv"), "--python", sys.executable]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as end:
        bootstrap.main()
    assert end.value.code == 2
    assert "There are 1.5 GB" in capsys.readouterr().err
    assert not (tmp_path / "venv").exists()


def test_a_folder_that_is_no_environment_is_never_cleared(bootstrap, tmp_path, capsys):
    precious = tmp_path / "venv" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("years")
    with pytest.raises(SystemExit):
        bootstrap.make_environment(sys.executable, str(precious.parent))
    assert precious.read_text() == "years"
    assert "not a virtual environment" in capsys.readouterr().err


def test_an_environment_whose_python_is_gone_is_not_usable(bootstrap, tmp_path):
    inside = tmp_path / "python"
    inside.symlink_to(tmp_path / "gone")
    assert not bootstrap.usable(str(inside))
    assert bootstrap.usable(sys.executable)


def test_make_says_what_it_lacks_on_a_bare_machine(repository, tmp_path):
    """The whole way through make, with a PATH that has no Python that fits."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3").write_text(
        f'#!/bin/sh\ncase "$1" in -c) echo "3.9 - x";; '
        f'*) exec "{sys.executable}" "$@";; esac\n'
    )
    (folder / "python3").chmod(0o755)
    make = subprocess.run(
        [shutil.which("make"), "demo", f"VENV={tmp_path / 'venv'}"],
        cwd=repository,
        env={"PATH": str(folder)},  # make's shell is /bin/sh, wherever PATH points
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert make.returncode == 2
    assert "Python 3.11, 3.12 or 3.13 with the venv module is required" in make.stderr
    assert not (tmp_path / "venv").exists()
