"""The collapse alarm: says once what has collapsed, and once that it has not.

What can collapse, how it is seen and what helps is the method's to say
(`Method.health`); here is only when to say it. It never stops a run.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pdm_tf.methods.base import Finding, Health

# Before, networks still carry their start, where kernels may be alike on purpose, and
# moving statistics that inference uses have not settled.
GRACE_STEPS = 200

_ACTIVE = "alarm/active"


class CollapseAlarm:
    """Remembers which causes have been announced."""

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        """Args:
        records: of metrics.jsonl so far, so that a resumed run does not repeat itself.
        """
        active = ""
        for record in records:
            active = record.get(_ACTIVE, active)
        self._active = {cause for cause in active.split(",") if cause}

    def hear(self, step: int, health: "Health") -> tuple[dict[str, Any], list[str]]:
        """Takes what the method found after `step` steps.

        Returns:
          (values for metrics.jsonl: the numbers, and "alarm/active", the causes by
          name with commas; lines to say).
        """
        findings = {f.cause: f for f in health.findings if step >= GRACE_STEPS}
        lines = [
            _announced(step, finding)
            for cause, finding in findings.items()
            if cause not in self._active
        ]
        lines += [
            f"step {step}  collapse alarm: {cause} has cleared."
            for cause in sorted(self._active - findings.keys())
        ]
        self._active = set(findings)
        return {**health.numbers, _ACTIVE: ",".join(sorted(findings))}, lines


def _announced(step: int, finding: "Finding") -> str:
    return (
        f"step {step}  collapse alarm: {finding.cause}: {finding.what} is "
        f"{finding.value:.3g}, threshold {finding.threshold:.3g}. {finding.advice}"
    )
