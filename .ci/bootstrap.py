"""Sets up a virtual environment with this package; behind `make demo` and `make test`.

    python3 .ci/bootstrap.py --venv=.venv --extras=dev --stamp=.venv/installed-dev

Looks for a Python that fits (3.11 to 3.13 with the modules venv and ensurepip), checks
the disk, makes the environment, installs the checkout in editable form, and writes the
stamp. Whatever is missing on the machine is said before anything is downloaded.
Standard library only, and nothing newer than Python 3.6, because it has to run before
anything is there. Repeating it is safe: a half-made environment is completed, and a
broken one (its Python is gone) is made anew.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile

OLDEST, NEWEST = (3, 11), (3, 13)
CANDIDATES = ("python3.13", "python3.12", "python3.11", "python3", "python")
DISK_NEEDED_GB = 5.0
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

PROBE = """
import sys
missing = []
for name in ("venv", "ensurepip", "ssl", "zlib"):
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
print("%d.%d" % sys.version_info[:2], ",".join(missing) or "-", sys.executable)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--venv", required=True, help="folder of the environment")
    parser.add_argument("--extras", default="", help="e.g. dev, or dev,export")
    parser.add_argument("--stamp", default="", help="file to write when all is there")
    parser.add_argument("--python", default="", help="interpreter to use (PYTHON=...)")
    args = parser.parse_args()
    venv = os.path.abspath(args.venv)
    inside = os.path.join(venv, "bin", "python")
    if not usable(inside):
        python = find_python(args.python)
        check_disk(venv)
        make_environment(python, venv)
    say("installing pdm_tf and what it needs (TensorFlow alone is about 600 MB)")
    target = HERE + (f"[{args.extras}]" if args.extras else "")
    pip = [inside, "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "--editable", target], "the installation failed")
    if args.stamp:
        with open(args.stamp, "w") as stamp:
            stamp.write("made by .ci/bootstrap.py\n")


def find_python(wanted: str) -> str:
    """Returns the path of a Python that fits; ends the program where there is none."""
    rejected = []
    for name in [wanted] if wanted else CANDIDATES:
        path = shutil.which(name)
        version, missing, executable = probe(path) if path else ((), "not found", "")
        found = ".".join(str(part) for part in version)
        if not version:
            rejected.append((name, missing))
        elif not OLDEST <= version <= NEWEST:
            rejected.append((name, f"is Python {found}"))
        elif missing:
            reason = f"Python {found} lacks the module {missing}"
            if "ensurepip" in missing or "venv" in missing:
                reason += f" (Debian, Ubuntu: apt install python{found}-venv)"
            rejected.append((name, reason))
        else:
            say(f"using Python {found}, {executable}")
            return executable
    lines = ["Python 3.11, 3.12 or 3.13 with the venv module is required. Looked at:"]
    lines += [f"  {name:12s} {reason}" for name, reason in rejected]
    lines.append("Install one of them, or name it: make PYTHON=/path/to/python3.12 ...")
    return fail("\n".join(lines))


def probe(path: str) -> tuple:
    """Returns (version, missing modules, real path); ((), reason, "") if it is dead."""
    try:
        done = subprocess.run(
            [path, "-c", PROBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return (), f"does not start: {error}", ""
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[
            -1
        ]
        return (), f"does not start: {last}", ""
    version, missing, executable = done.stdout.strip().split(" ", 2)
    numbers = tuple(int(part) for part in version.split("."))
    return numbers, "" if missing == "-" else missing, executable


def usable(inside: str) -> bool:
    """Whether the environment's own Python starts, fits, and has pip."""
    if not os.path.exists(inside):
        return False
    version, _, _ = probe(inside)
    if not version or not OLDEST <= version <= NEWEST:
        return False
    return subprocess.call([inside, "-c", "import pip"], stderr=subprocess.PIPE) == 0


def check_disk(venv: str) -> None:
    """Ends the program when the environment's disk, or pip's, is too full."""
    parent = os.path.dirname(venv)
    os.makedirs(parent, exist_ok=True)
    for what, folder in (("the environment", parent), ("pip", tempfile.gettempdir())):
        free_gb = shutil.disk_usage(folder).free / 1e9
        if free_gb < DISK_NEEDED_GB:
            fail(
                f"{what} needs {DISK_NEEDED_GB:.0f} GB of free disk in {folder}. "
                f"There are {free_gb:.1f} GB."
            )


def make_environment(python: str, venv: str) -> None:
    if os.path.isdir(venv) and os.listdir(venv):
        # Only what is an environment is ever cleared.
        if not os.path.exists(os.path.join(venv, "pyvenv.cfg")):
            fail(f"{venv} is there and is not a virtual environment; move it away.")
        say(f"{venv} is incomplete; making it anew")
    else:
        say(f"making the virtual environment {venv}")
    run([python, "-m", "venv", "--clear", venv], "no virtual environment was made")


def run(command: list, failure: str) -> None:
    code = subprocess.call(command)
    if code != 0:
        fail(f"{failure} (exit code {code}). Mend it and repeat the same command.")


def say(text: str) -> None:
    print(f"[setup] {text}", flush=True)


def fail(text: str) -> str:
    print(f"[setup] error: {text}", file=sys.stderr, flush=True)
    return sys.exit(2)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on from here.")
