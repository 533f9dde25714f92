"""All degradation metrics: the telling ones with their meaning, then every number.

Made from `DegradationReport.to_json`, so a metric that is added there is in the full
list here without a change.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pdm_tf.core.numbers import number
from pdm_tf.evaluation.degradation_rows import HEADINGS, degradation_rows
from pdm_tf.reporting.markup import Markup, join, tag
from pdm_tf.reporting.page import Section
from pdm_tf.reporting.tables import plain_table

_LEAD = (
    "The same in numbers, beside what they would be for a perfect and for a collapsed "
    "degradation where that is known."
)


def measured_section(report: Mapping[str, Any], missing: str = "") -> Section:
    """The section.

    Args:
      report: `evaluation.degradation.DegradationReport.to_json`; {} if nothing could be
        measured.
      missing: why something could not be measured.
    """
    rows = degradation_rows(report)
    parts: list[Markup] = []
    if missing:
        parts.append(tag("p", f"Not measured: {missing}", class_="note"))
    if rows:
        parts.append(plain_table("Metrics of the degradation", HEADINGS, rows))
        everything = list(_flat(report))
        parts.append(
            tag(
                "details",
                tag("summary", f"All {len(everything)} numbers"),
                plain_table("All numbers", ("name", "value"), everything),
            )
        )
    return Section("measured", "Measurements", _LEAD, join(parts))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Names with dots, one value each; lists of numbers in one cell."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else key)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield name, ", ".join(_cell(item) for item in value)
    else:
        yield name, _cell(value)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return f"({', '.join(_cell(item) for item in value)})"
    return number(value, 4) if isinstance(value, int | float) else str(value).lower()
