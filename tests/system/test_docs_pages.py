"""The commands of docs/*.md, and what the cluster examples run in each task."""

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.bundles.networks import SR_NETS
from pdm_tf.core.stored import read_json
from pdm_tf.data.paper_sets import PAPER_SETS
from pdm_tf.models.features import LPIPSConfig
from tests.conformance.smoke import ROOT, parse
from tests.support.serving import free_ports
from tests.system.test_docs_commands import (
    TINY_PDM,
    TINY_RUN,
    TINY_SR,
    commands,
    names_extras,
    place,  # noqa: F401 - a fixture
)
from tests.unit.data.published import write_2017

GPU, EXPERIMENTS, SCALING = (
    commands((ROOT / f"docs/guide/{name}.md").read_text(encoding="utf-8"))
    for name in ("gpu", "experiments", "scaling")
)
TINY = (*TINY_SR, *TINY_RUN, *TINY_PDM)


def begin(cwd, command, *more):
    """Starts a command of the form [NAME=VALUE] python -m ..."""
    words = shlex.split(command)
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    return subprocess.Popen(
        [sys.executable, *words[1:], *more],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_gpu_commands(place):  # noqa: F811
    installs, trains = GPU
    names_extras("tensorflow", "onnxruntime-gpu")(place, installs)
    process = begin(place, trains, *TINY)
    told, _ = process.communicate(timeout=240)
    assert process.returncode == 0, told
    bundle = read_json(place / "runs" / "gpu" / "bundles" / "sr_ema" / "bundle.json")
    assert bundle["step"] == 2


@pytest.mark.slow
def test_two_workers_as_on_the_page(place):  # noqa: F811
    ports = dict(zip(("22222", "22223"), map(str, free_ports(2)), strict=True))
    asked = [
        re.sub("22222|22223", lambda match: ports[match.group()], command)
        for command in SCALING
    ]
    processes = [begin(place, command, *TINY) for command in asked]
    told = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert "finished at step 2" in told[0]
    assert "starts, until step 2" in (place / "runs/two/log_worker1.txt").read_text()


@pytest.mark.slow
def test_an_experiment_from_archives_to_a_score(tmp_path):
    """Made-up archives of the official names and counts; tiny networks, two steps."""
    folder = tmp_path / "newcomer"
    shutil.copytree(ROOT / "configs", folder / "configs")
    write_2017(folder / "downloads", hr_side=200)
    config = parse("experiments/ntire2017_track2_psnr.flags", *TINY_SR)
    sr = dataclasses.replace(SR_NETS[config.sr_net], num_blocks=1, filters=4)
    lpips = LPIPSConfig("alex", filters=4)
    for settings, name in (
        (sr, "edsr_x4"),
        (lpips, "lpips_alex"),
    ):
        path = folder / "bundles" / name
        save_bundle(settings.build(), path, step=0)
    tiny = [flag for flag in TINY if not flag.startswith("--noise")]  # it has none
    smaller = (["--threads=2"], [*tiny, "--val_max_images=2"], ["--max_images=2"])
    for command, more in zip(EXPERIMENTS, smaller, strict=True):
        process = begin(folder, command, *more)
        told, _ = process.communicate(timeout=280)
        assert process.returncode == 0, told
    report = read_json(folder / "results/ntire2017_track2_psnr/report.json")
    assert set(report["mean"]) == {"psnr", "ssim", "lpips_alex"}
    assert len(report["images"]) == 2


def test_the_page_of_experiments_names_every_dataset_and_flag_file():
    """And no others; published numbers are those of the paper's tables."""
    page = (ROOT / "docs" / "guide" / "experiments.md").read_text(encoding="utf-8")
    for name in PAPER_SETS:
        assert f"| `{name}` |" in page
        archives = {a for part in PAPER_SETS[name].parts for a in part.archive.names}
        if "2017" in name or name == "ntire2018_track2":
            assert all(f"`{archive[:-4]}`" in page for archive in archives)
    files = {path.stem for path in (ROOT / "configs/experiments").glob("*.flags")}
    told = set()
    for row in re.findall(
        r"^\| `(ntire\S+_(?:psnr|degradation|percep))`(.*?)\|", page, re.M
    ):
        told.add(row[0])
        told |= {row[0].rpartition("_")[0] + "_psnr"} if "then" in row[1] else set()
    assert told == files


@pytest.fixture
def stubs(tmp_path):
    """A PATH on which training only prints what it was given."""

    def stub(name, text):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(0o755)

    stub(
        "python3",
        f'if [ "$1" = -c ]; then exec {sys.executable} "$@"; fi\n'
        'echo "$TF_CONFIG"; echo "$*"',
    )
    stub(
        "scontrol",
        'if [ "$1" = show ]; then echo node7; echo node9; else echo "$*"; fi',
    )
    stub(
        "srun",
        'shift\nfor SLURM_PROCID in 0 1; do export SLURM_PROCID; "$@"; done\n'
        "exit ${TASKS_END_WITH:-0}",
    )
    return {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.parametrize("code", [0, 2, 75])
def test_slurm_example(stubs, code):
    """Slurm itself is played: two hosts, two tasks, one after the other."""
    done = subprocess.run(
        ["bash", str(ROOT / "configs/cluster/slurm.sh"), "--hr_dir=a b", "--steps=3"],
        env={
            **stubs,
            "SLURM_JOB_NODELIST": "node[7,9]",
            "SLURM_JOB_ID": "11",
            "TASKS_END_WITH": str(code),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (code, "")
    lines = done.stdout.splitlines()
    for index in range(2):
        config, arguments = lines[2 * index : 2 * index + 2]
        assert json.loads(config) == {
            "cluster": {"worker": ["node7:22222", "node9:22222"]},
            "task": {"type": "worker", "index": index},
        }
        assert arguments == "-m pdm_tf.train --hr_dir=a b --steps=3"
    assert lines[4:] == (["requeue 11"] if code == 75 else [])


@pytest.mark.parametrize("code", [0, 1, 75])
def test_slurm_study_example(stubs, tmp_path, code):
    """Each job of the array takes the run of its number; Slurm is played."""
    bin_ = tmp_path / "bin"
    (bin_ / "python3").write_text(
        "#!/usr/bin/env bash\n"
        'if [ "${@: -1}" = --list ]; then printf "a@s0  finished\\nb@x@s0  open\\n"; '
        'else echo "$*"; fi\n'
    )
    (bin_ / "srun").write_text('#!/usr/bin/env bash\n"$@"\nexit $TASKS_END_WITH\n')
    script = str(ROOT / "configs/cluster/slurm_study.sh")

    def job(number):
        environment = {
            **stubs,
            "SLURM_ARRAY_JOB_ID": "11",
            "SLURM_ARRAY_TASK_ID": number,
            "TASKS_END_WITH": str(code),
        }
        return subprocess.run(
            ["bash", script, "--flagfile=a b"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    done = job("1")
    assert (done.returncode, done.stderr) == (code, "")
    started = "-m pdm_tf.study --flagfile=a b --only=b@x@s0"
    requeued = ["requeue 11_1"] if code == 75 else []
    assert done.stdout.splitlines() == [started, *requeued]
    done = job("2")
    assert (done.returncode, done.stdout) == (2, "")


def test_kubernetes_example(stubs):
    yaml = pytest.importorskip("yaml", reason="needs PyYAML, which kserve brings")
    text = (ROOT / "configs/cluster/kubernetes.yaml").read_text(encoding="utf-8")
    service, job = yaml.safe_load_all(text)
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    done = subprocess.run(
        [*container["command"], *container["args"]],
        env={**stubs, "JOB_COMPLETION_INDEX": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    config, arguments = done.stdout.splitlines()
    cluster = json.loads(config)
    assert cluster["task"] == {"type": "worker", "index": 1}
    # The name of each pod of an indexed job: <job>-<index>.<subdomain>.
    name, subdomain = job["metadata"]["name"], pod["subdomain"]
    port = service["spec"]["ports"][0]["port"]
    completions = job["spec"]["completions"]
    assert cluster["cluster"]["worker"] == [
        f"{name}-{i}.{subdomain}:{port}" for i in range(completions)
    ]
    assert subdomain == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert job["spec"]["parallelism"] == completions
    from pdm_tf.cli import flag_set
    from pdm_tf.train import SPEC

    assert flag_set.parse(SPEC, arguments.split()[2:]).batch_size % completions == 0
