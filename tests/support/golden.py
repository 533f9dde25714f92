"""Golden files: what the code did before it was rearranged, for comparing with.

`traces.json` has the losses and gradient norms of 20 steps of each smoke flag file,
recorded on the machine that `MACHINE` describes with the `LIBRARIES`. Equal bits are
promised there only: other processors take other instructions, whose sums round
differently. Elsewhere a warning says that the first steps alone are compared, roughly.
"""

import importlib.metadata
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "golden"
# Instruction sets that oneDNN chooses its kernels by, and the number of cores.
# Zen 4 has no avx_vnni, and other last bits than Zen 5.
MACHINE = {
    "avx2": True,
    "avx512_bf16": True,
    "avx_vnni": True,
    "amx_tile": False,
    "cores": 2,
}
LIBRARIES = {"tensorflow": "2.21.0", "keras": "3.15.1"}
# Elsewhere rounding differs from the first sum on and adversarial training amplifies
# it: the first steps stay close.
CLOSE_STEPS, CLOSE = 3, 2e-3


def read(name: str) -> Any:
    """Returns what is stored in `tests/golden/name`."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def is_the_recording_machine() -> bool:
    """Whether bits have to be equal here."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((x for x in text.splitlines() if x.startswith("flags")), "").split()
    found = {name: name in flags for name in MACHINE if name != "cores"}
    here = {name: importlib.metadata.version(name) for name in LIBRARIES}
    vendor = "AuthenticAMD" in text
    found |= {"cores": text.count("processor\t")}
    return vendor and found == MACHINE and here == LIBRARIES


def differences(
    records: Sequence[Mapping[str, Any]], trace: Mapping[str, Sequence[float | None]]
) -> list[str]:
    """Returns where a run's `metrics.jsonl` departs from a trace, in words."""
    steps = [r for r in records if any(name.startswith("loss/") for name in r)]
    exact = is_the_recording_machine()
    if not exact:
        warnings.warn(
            f"the trace's bits are not compared: recorded on {MACHINE} with "
            f"{LIBRARIES}; the first {CLOSE_STEPS} steps alone, to {CLOSE:g}",
            stacklevel=2,
        )
    found = []
    for name, values in trace.items():
        rows = zip(steps, values, strict=True)
        for number, (record, wanted) in enumerate(rows, start=1):
            got = record.get(name)
            if exact or wanted is None or got is None:
                same = got == wanted
            else:
                same = number > CLOSE_STEPS or abs(got - wanted) <= CLOSE * abs(wanted)
            if not same:
                found.append(f"{name} at step {number}: {got}, recorded {wanted}")
    return found
