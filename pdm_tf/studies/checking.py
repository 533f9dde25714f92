"""Finds what cannot work in a study before its first run starts.

    python -m pdm_tf.studies.checking REQUEST.json RESULT.json

builds the method of every run, as its training will, with stand-ins of the right shape
for networks that other runs of the study are to train first. A process of its own:
TensorFlow takes seconds to load and would hold memory, or a GPU, while others train.
"""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pdm_tf import __version__
from pdm_tf.cli.component import from_json_dict, to_json_dict
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.quiet import quiet_start
from pdm_tf.core.stored import read_json
from pdm_tf.run import BUNDLES
from pdm_tf.studies.plan import (
    EVALUATED_ON,
    MEASURED_WITH,
    Fault,
    Plan,
    StudyRun,
)
from pdm_tf.studies.running import is_finished, locked
from pdm_tf.train_config import TrainConfig

# Under the study's folder: what is built -> {"sr": weights of the network that is
# shipped, "trained": of all trained ones}.
_MEMORY = "states/checked.json"


def check(
    plan: Plan,
    runs: Sequence[StudyRun],
    metrics: Mapping[str, Sequence[str]],
    metric_files: Mapping[str, str],
) -> list[Fault]:
    """Builds the methods in a process of its own; returns what cannot work.

    What was found right at an earlier start, of the same settings, is not built again.

    Args:
      plan: of the study.
      runs: those to check; the first seed of each stands for the others.
      metrics: data set -> names of those that will be measured.
      metric_files: metric -> its weights.

    Raises:
      RuntimeError: the process failed; a defect of ours.
    """
    folder = plan.request.folder
    memory = folder / _MEMORY
    known = _known(memory)
    first = plan.request.seeds[0]
    wanted = [run for run in runs if run.seed == first]
    keys = {run.name: _key(run) for run in wanted}
    parameters = {name: known[key] for name, key in keys.items() if key in known}
    request = {
        "runs": [
            {
                "name": run.name,
                "config": to_json_dict(run.config),
                "after": [o for o in run.after if not is_finished(plan.by_name[o])],
                "build": run.name not in parameters or not _is_there(run),
            }
            for run in wanted
        ],
        "datasets": {
            name: {
                key: values[key]
                for key in (*EVALUATED_ON, *MEASURED_WITH)
                if values.get(key)
            }
            for name, values in plan.request.datasets.items()
        },
        "metrics": {name: list(names) for name, names in metrics.items()},
        "metric_files": dict(metric_files),
    }
    with tempfile.TemporaryDirectory() as place:
        asked, answer = Path(place) / "request.json", Path(place) / "result.json"
        asked.write_text(json.dumps(request), encoding="utf-8")
        printed = start(asked, answer)
        if not answer.is_file():
            raise RuntimeError(f"Checking failed: {printed}")
        result = read_json(answer)
    parameters |= result["parameters"]
    found = {keys[name]: counted for name, counted in parameters.items()}
    with locked(memory.with_suffix(".lock")):  # other studies may share the folder
        known = _known(memory)
        write_json_atomic(memory, known | found)
    return [Fault(*fault) for fault in result["faults"]]


def start(asked: Path, answer: Path) -> str:
    """Runs `main` in a process of its own; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, str(asked), str(answer)],
        # No GPU: nothing is computed, and a run may be training there.
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


def _known(memory: Path) -> dict[str, dict[str, int]]:
    """What earlier checks found, by what was checked."""
    form = {str: {str: int}}
    return read_json(memory, form, remedy="Remove it.") if memory.is_file() else {}


def parameters_of(study: Path, run: StudyRun) -> Mapping[str, int]:
    """What an earlier `check` found of a run's networks; empty if nothing."""
    memory = study / _MEMORY
    return _known(memory).get(_key(run), {})


def _is_there(run: StudyRun) -> bool:
    """Whether the files that a run starts from, but those of the study, are there."""
    config = run.config
    pairs = (*config.init, *config.degradation_arg)
    places = [re.split("[:=]", text, maxsplit=1)[-1] for text in pairs]
    places += [config.init_sr, config.init_degradation, config.features]
    return all(
        "/" not in place or Path(place).exists() or Path(place).name in run.after
        for place in places
    )


def _key(run: StudyRun) -> str:
    """Everything that decides what is built; the same for all seeds."""
    config = dataclasses.replace(run.config, run_dir="-", seed=0, steps=1)
    text = json.dumps([__version__, to_json_dict(config)], sort_keys=True)
    for name in run.after:
        text = text.replace(name, name.rpartition("@s")[0])
    return text


def main(asked: str, answer: str) -> None:
    """Checks what is asked in one JSON file, and answers in another."""
    request = read_json(asked)
    faults: list[Fault] = []
    with quiet_start():
        parameters = _check_runs(request["runs"], faults)
        _check_datasets(request["datasets"], request["runs"], faults)
        _check_metrics(request, faults)
    write_json_atomic(answer, {"faults": faults, "parameters": parameters})


def _check_runs(
    runs: Iterable[Mapping[str, Any]], faults: list[Fault]
) -> dict[str, dict[str, int]]:
    """Run -> how many weights it has; adds what cannot work to `faults`."""
    from pdm_tf import build
    from pdm_tf.core.folder_places import check_places
    from pdm_tf.data.sources import list_entries

    runs = list(runs)
    started_from = {name for run in runs for name in run["after"]}
    places = {run["name"]: run["config"]["run_dir"] for run in runs}
    parameters: dict[str, dict[str, int]] = {}
    failed: set[str] = set()
    stand_ins = Path(tempfile.mkdtemp())
    try:
        for run in runs:
            name = run["name"]
            values = run["config"]
            for other in run["after"]:
                values = _replaced(values, places[other], str(stand_ins / other))
            try:
                if lost := [other for other in run["after"] if other in failed]:
                    raise UserError(f"starts from {lost[0]}, which has a fault.")
                config = from_json_dict(TrainConfig, values)
                for folder in (config.hr_dir, config.lr_dir):
                    if folder:
                        list_entries(folder)
                if config.lr_dir:
                    check_places(config.hr_dir, config.lr_dir)
                build.build_validation(config)
                if not (run["build"] or name in started_from):
                    continue
                method = build.build_method(config)
            except UserError as error:
                failed.add(name)
                faults.append(Fault(name, str(error)))
                continue
            shipped = method.deployable()
            parameters[name] = {
                "trained": sum(
                    method.networks[part].count_params() for part in method.optimizers
                )
            }
            if "sr" in shipped:
                parameters[name]["sr"] = shipped["sr"].count_params()
            if name in started_from:
                _save_stand_in(method, config, stand_ins / name)
    finally:
        shutil.rmtree(stand_ins)
    return parameters


def _save_stand_in(method: Any, config: TrainConfig, folder: Path) -> None:
    """Writes the bundles of a run that has taken no step."""
    from pdm_tf import build

    grid = None if method.grid == "auto" else method.grid
    save = build.bundle_saver(config, folder / BUNDLES, grid)
    save(method.deployable(), 0)
    if config.ema_decay:
        averaged = method.ema_networks()
        save({f"{name}_ema": network for name, network in averaged.items()}, 0)


def _replaced(value: Any, old: str, new: str) -> Any:
    """`value` with a path in its texts exchanged."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    if isinstance(value, dict):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    return value


def _check_datasets(
    datasets: Mapping[str, Mapping[str, str]],
    runs: Sequence[Mapping[str, Any]],
    faults: list[Fault],
) -> None:
    """Adds to `faults` what evaluations could not read."""
    from pdm_tf.data.sources import list_entries
    from pdm_tf.evaluation.image_set import open_set
    from pdm_tf.evaluation.opened_run import read_kernels

    scale = runs[0]["config"]["scale"] if runs else 4
    for name, values in datasets.items():

        def attempt(key: str, look: Any, name: str = name) -> Any:
            try:
                return look()
            except UserError as error:
                faults.append(Fault(f"{name}.{key}", str(error)))

        hr, lr = (values.get(key, "") for key in EVALUATED_ON)
        found = attempt("val_lr_dir", lambda hr=hr, lr=lr: open_set(hr, lr, scale))
        if place := values.get("real_lr"):
            attempt("real_lr", lambda place=place: list_entries(place))
        kernels = {}
        for key in ("true_kernels", "pair_kernels"):
            if path := values.get(key):
                kernels[key] = attempt(
                    key, lambda path=path, key=key: read_kernels(path, key)
                )
        pairs = kernels.get("pair_kernels")
        if pairs is not None and found and len(pairs) != len(found.items):
            why = (
                "pair_kernels must hold one kernel for each pair. Received: "
                f"{len(pairs)} kernels, {len(found.items)} pairs."
            )
            faults.append(Fault(f"{name}.pair_kernels", why))


def _check_metrics(request: Mapping[str, Any], faults: list[Fault]) -> None:
    """Adds to `faults` what metrics could not be measured with."""
    from pdm_tf.evaluation.runner import check_references, metric_specs

    for name, metrics in request["metrics"].items():
        try:
            specs = metric_specs(tuple(metrics), request["metric_files"])
            check_references(specs, request["datasets"][name].get(EVALUATED_ON[0], ""))
        except UserError as error:
            faults.append(Fault(f"--metrics on {name}", str(error)))


if __name__ == "__main__":
    main(*sys.argv[1:])
