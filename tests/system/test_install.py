"""What gets installed is whole, and starts from any folder."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import pdm_tf
from pdm_tf.core.stored import read_json

ROOT = Path(__file__).resolve().parents[2]
ONLY_HERE = {"pdm_tf/samples/quickstart_panel.jpg"}  # README's picture
NEEDED = ("pdm_tf", "export", "configs", "setup.py", "pyproject.toml", "MANIFEST.in")
BUILD = "from setuptools import build_meta; print(build_meta.{}('..'))"


def files_of(place):
    return {
        path.relative_to(place).as_posix()
        for package in ("pdm_tf", "export")
        for path in (place / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def above(tmp_path_factory):
    """A folder with a clone called pdm_tf in it."""
    above = tmp_path_factory.mktemp("above")
    (above / "pdm_tf").mkdir()
    for name in (*NEEDED, "README.md", "LICENSE"):
        source, target = ROOT / name, above / "pdm_tf" / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target, symlinks=True, ignore=ignored)
        else:
            shutil.copy(source, target)
    return above


def built(above, what):
    """Builds in the clone, as pip does; returns the file."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(what)],
        cwd=above / "pdm_tf",
        env={**os.environ, "PDM_TF_FILES_URL": "https://files.example/v1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return above / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(above):
    return built(above, "build_wheel")


def environment(place, wheel):
    """A fresh environment with the wheel; the packages it needs are this one's."""
    venv.create(place, with_pip=False)
    paths = {"base": str(place), "platbase": str(place)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    packages = [path for path in sys.path if path.endswith("site-packages")]
    (site / "borrowed.pth").write_text("\n".join(packages))
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", place / "bin" / "python", "-q"]
        + [
            "install",
            "--no-deps",
            "--no-index",
            "--ignore-installed",
            "--no-compile",
            wheel,
        ],
        check=True,
        timeout=120,
    )
    return place / "bin"


def start(*command, cwd, code=0, timeout=120):
    """Starts a program as a user's shell would; returns what it printed."""
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=bare,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(above, wheel, tmp_path_factory):
    """The folder of the programs of an environment with the wheel."""
    return environment(tmp_path_factory.mktemp("env"), wheel)


def test_a_wheel_holds_all_of_both_packages(wheel):
    configs = {
        f"pdm_tf/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "configs").rglob("*")
        if path.is_file()
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = next(n for n in archive.namelist() if n.endswith("/METADATA"))
        about = archive.read(metadata).decode()
    assert names == (files_of(ROOT) | configs) - ONLY_HERE
    assert {"pdm_tf/py.typed", "export/py.typed"} <= names
    targets = re.findall(r"\]\(([^)#]*)\)", about)
    assert targets
    assert all(target.startswith("https://") for target in targets)
    picture = "https://files.example/v1/pdm_tf/samples/quickstart_panel.jpg?raw=true"
    assert picture in targets


def test_without_an_address_nothing_in_readme_leads_nowhere(above):
    done = start(
        sys.executable, "setup.py", "-q", "--long-description", cwd=above / "pdm_tf"
    )
    assert "![" not in done
    assert all(
        target.startswith("https://") for target in re.findall(r"\]\(([^)#]*)\)", done)
    )
    assert "[measurements]" not in done
    assert "measurements" in done


def test_programs_of_a_wheel_start_from_any_folder(installed, above):
    door = installed / "pdm_tf"
    version = f"pdm_tf {pdm_tf.__version__}\n"
    for place in (Path("/"), above, above / "pdm_tf" / "pdm_tf"):
        assert start(door, "--version", cwd=place) == version
    assert "usage: pdm_tf export" in start(door, "export", "--help", cwd=above)
    # Flag files by name are read before help is given.
    by_name = ("train", "--flagfile=pdm_sr/blur_x4")
    assert "usage: pdm_tf train" in start(door, *by_name, "--help", cwd=above)
    listed = start(door, "study", "--flagfile=studies/smoke", "--list", cwd=above)
    assert "edsr@s0" in listed


def test_an_editable_clone_starts_from_the_folder_above(above, tmp_path):
    """In which a folder `pdm_tf`, the clone, is there to be taken for the package."""
    bin_folder = environment(tmp_path / "env", built(above, "build_editable"))
    python, place = bin_folder / "python", above
    version = f"pdm_tf {pdm_tf.__version__}\n"
    assert start(bin_folder / "pdm_tf", "--version", cwd=place) == version
    assert start(python, "-m", "pdm_tf", "--version", cwd=place) == version
    said = start(python, "-m", "pdm_tf.upscale", "--help", cwd=place)
    assert "usage: python -m pdm_tf.upscale" in said
    code = "import pdm_tf, export; print(pdm_tf.__file__)"
    file = start(python, "-c", code, cwd=place).strip()
    assert Path(file).parent == above / "pdm_tf" / "pdm_tf"


@pytest.mark.slow
def test_the_whole_demo_from_a_wheel(installed, tmp_path):
    said = start(installed / "pdm_tf", "demo", cwd=tmp_path, timeout=3600)
    report = read_json(tmp_path / "quickstart" / "report.json")
    assert report["mean"]["psnr"] > report["baseline"]["bicubic"]["psnr"]
    assert (tmp_path / said.splitlines()[-1]).is_file()
