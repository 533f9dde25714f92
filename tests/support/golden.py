"""Golden files: what the code did before it was rearranged, for comparing with.

`traces.json` has the losses and gradient norms of 20 steps of each smoke flag file: as
digests of every step and of the final state, recorded on each of `MACHINES` with the
`LIBRARIES`, and as numbers of the first steps. Equal bits are promised on such machines
only: other processors take other instructions, whose sums round differently. Elsewhere
a warning says that the first steps alone are compared, roughly.

To record another machine's digests, add it to `MACHINES`, and

    PDM_TF_RECORD_TRACES=/tmp/found python -m pytest -m "" \\
      tests/conformance/test_smoke_training.py
    python -m tests.support.golden /tmp/found
"""

import hashlib
import importlib.metadata
import json
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "golden"
# Where what was found goes, one JSON line a run, when it is set.
RECORDING = "PDM_TF_RECORD_TRACES"
# Maker, and instruction sets that oneDNN chooses its kernels by. Two cores each: sums
# are divided among them.
_SETS = ("avx2", "avx512_bf16", "avx_vnni", "amx_tile")
MACHINES = {
    # Zen 4 has no avx_vnni, and other last bits than Zen 5.
    "zen5": ("AuthenticAMD", "avx2", "avx512_bf16", "avx_vnni"),
    "amx": ("GenuineIntel", "avx2", "avx512_bf16", "avx_vnni", "amx_tile"),
}
_CORES = 2
LIBRARIES = {"tensorflow": "2.21.0", "keras": "3.15.1"}
# Elsewhere rounding differs from the first sum on and adversarial training amplifies
# it: the first steps stay close.
CLOSE_STEPS, CLOSE = 3, 2e-3


def read(name: str) -> Any:
    """Returns what is stored in `tests/golden/name`."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def machine() -> str:
    """The entry of `MACHINES` that this machine is, or "" if there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    flags = next((x for x in text.splitlines() if x.startswith("flags")), "").split()
    sets = tuple(name for name in _SETS if name in flags)
    here = {name: importlib.metadata.version(name) for name in LIBRARIES}
    if text.count("processor\t") != _CORES or here != LIBRARIES:
        return ""
    found = (name for name, (maker, *has) in MACHINES.items() if maker in text)
    return next((name for name in found if MACHINES[name][1:] == sets), "")


def differences(
    run: str, records: Sequence[Mapping[str, Any]], state: Iterable[np.ndarray]
) -> list[str]:
    """Returns where a run departs from its trace, in words.

    Args:
      run: its name in `traces.json`.
      records: its `metrics.jsonl`.
      state: everything a checkpoint has after the last step.
    """
    traces = read("traces.json")
    steps = [_traced(r) for r in records if any(k.startswith("loss/") for k in r)]
    digests = [*map(_digest_of_step, steps), _digest_of_state(state)]
    if os.environ.get(RECORDING):
        row = {"run": run, "series": _series(steps), "bits": " ".join(digests)}
        with open(os.environ[RECORDING], "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        return []
    series, here = traces["series"][run], machine()
    found = _other_steps(_series(steps), series)
    recorded = traces["bits"].get(here, {}).get(run)
    if recorded is None:
        warnings.warn(
            f"the trace's bits are not compared: they were recorded on {MACHINES} with "
            f"{LIBRARIES}; the first {CLOSE_STEPS} steps alone, to {CLOSE:g}",
            stacklevel=2,
        )
        return found + _far(steps, series)
    # Zen 5 was recorded before final states were; it has digests of steps alone.
    for number, (got, wanted) in enumerate(
        zip(digests, recorded.split(), strict=False), start=1
    ):
        if got != wanted:
            what = f"step {number}: {steps[number - 1]}" if number <= 20 else "the end"
            return [*found, f"other bits from {what}, than recorded on {here}"]
    return found


def _traced(record: Mapping[str, Any]) -> dict[str, float]:
    kinds = ("loss/", "stat/grad_norm_")
    return {k: v for k, v in sorted(record.items()) if k.startswith(kinds)}


def _digest_of_step(values: Mapping[str, float]) -> str:
    """Eight hexadecimal digits; equal numbers have equal texts."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:8]


def _digest_of_state(state: Iterable[np.ndarray]) -> str:
    total = hashlib.sha256()
    for array in state:
        total.update(f"{array.dtype}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def _series(steps: Sequence[Mapping[str, float]]) -> dict[str, list]:
    """Name -> [first step, last step, numbers of the run's first steps]."""
    names = sorted({name for values in steps for name in values})
    found = {}
    for name in names:
        at = [n for n, values in enumerate(steps, start=1) if name in values]
        assert at == list(range(at[0], at[-1] + 1)), f"{name} at steps {at}"
        close = [values.get(name) for values in steps[:CLOSE_STEPS]]
        found[name] = [at[0], at[-1], *(close if at[0] <= CLOSE_STEPS else [])]
    return found


def _other_steps(found: Mapping[str, list], wanted: Mapping[str, list]) -> list[str]:
    """Which series have other steps than recorded; there are none on any machine."""
    return [
        f"{name} at steps {found.get(name, [])[:2]}, recorded {wanted.get(name)}"
        for name in sorted({*found, *wanted})
        if found.get(name, [])[:2] != wanted.get(name, [])[:2]
    ]


def _far(steps: Sequence[Mapping], series: Mapping[str, Sequence]) -> list[str]:
    found = []
    for name, (_, _, *values) in series.items():
        rows = zip(steps, values, strict=False)
        for number, (step, wanted) in enumerate(rows, start=1):
            got = step.get(name)  # whether there is one, `_other_steps` says
            if None not in (got, wanted) and abs(got - wanted) > CLOSE * abs(wanted):
                found.append(f"{name} at step {number}: {got}, recorded {wanted}")
    return found


def main(found: str) -> None:
    """Takes a recording's lines into `traces.json`, as this machine's."""
    traces, here = read("traces.json"), machine()
    assert here, f"none of {MACHINES} with {LIBRARIES}"
    for line in Path(found).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        traces["series"].setdefault(row["run"], row["series"])
        traces["bits"].setdefault(here, {})[row["run"]] = row["bits"]
    (FOLDER / "traces.json").write_text(f"{_lines(traces)}\n", encoding="utf-8")


def _lines(value: Any, indent: str = " ") -> str:
    """JSON with a line for each series, and for each run's digests."""
    if not isinstance(value, dict):
        return json.dumps(value)
    rows = (
        f"{indent}{json.dumps(k)}: {_lines(v, indent + ' ')}" for k, v in value.items()
    )
    return "{\n" + ",\n".join(rows) + f"\n{indent[1:]}}}"


if __name__ == "__main__":
    main(*sys.argv[1:])
