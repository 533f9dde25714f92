"""All degradation metrics: the informative ones with their meaning, then every number.

It is made from `evaluation.degradation.DegradationReport.to_json` alone, so a metric
that is added there is in the full list here without a change. The informative ones are
rows of text (`degradation_rows`), for HTML and Markdown alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pdm_tf.core.text_table import number
from pdm_tf.reporting.page import Section
from pdm_tf.reporting.rendering import render

_LEAD = (
    "The same in numbers, with those of a perfect and of a collapsed degradation where "
    "they are known."
)

HEADINGS = ("metric", "value", "to compare")
Row = tuple[str, str, str]


def measured_section(report: Mapping[str, Any], missing: str = "") -> Section:
    """The section.

    Args:
      report: `evaluation.degradation.DegradationReport.to_json`; {} if nothing could be
        measured.
      missing: reason why something could not be measured.
    """
    body = render(
        "measured",
        rows=degradation_rows(report),
        headings=HEADINGS,
        everything=list(_flat(report)),
        missing=missing,
    )
    return Section("measured", "Measurements", _LEAD, body)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yields names with dots, one value each; lists of numbers in one cell."""
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
    if isinstance(value, int | float):
        return number(value, 4)
    return "none" if value is None else str(value)


def degradation_rows(report: Mapping[str, Any]) -> list[Row]:
    """Lists (metric, value, that of a perfect or a collapsed degradation)."""
    parts = (_reasons, _self, _truth, _noise, _fidelity, _real)
    return [row for part in parts for row in part(report)]


_UNTOLD = {"kernels": "kernels, and how many true ones they cover", "noise": "noise"}


def _reasons(report: Mapping[str, Any]) -> Iterator[Row]:
    for name, what in _UNTOLD.items():
        if reason := report.get("reasons", {}).get(name):
            yield what, "none", reason


def _self(report: Mapping[str, Any]) -> Iterator[Row]:
    kernels = report.get("kernels")
    if not kernels:
        return
    spread = kernels["spread"]
    yield (
        "spread of the kernels' widths, HR px",
        f"{_text(spread['long'])} long, {_text(spread['short'])} short axis",
        "0: collapsed",
    )
    yield "entropy of a kernel, nats", _text(kernels["entropy"]), "0: a single tap"
    yield "mass at the rim", _percent(kernels["border_mass"]), "near 0 %"


def _truth(report: Mapping[str, Any]) -> Iterator[Row]:
    truth = report.get("true_kernels")
    if truth:
        learned, single, fresh = (
            truth[name] for name in ("learned", "best_single", "fresh")
        )
        yield (
            "true kernels covered",
            _percent(learned["coverage"]),
            f"{_percent(fresh['coverage'])} by other true kernels, "
            f"{_percent(single['coverage'])} by the best single kernel",
        )
        yield (
            "density",
            _text(learned["density"]),
            f"{_text(fresh['density'])} of other true kernels",
        )
        yield (
            "distance of second moments, HR px",
            _text(learned["moment_distance_px"]),
            f"{_text(fresh['moment_distance_px'])} of other true kernels, "
            f"{_text(single['moment_distance_px'])} of the best single kernel",
        )
        ratio = truth["spread_ratio"]
        yield (
            "spread, learned over true",
            f"{_text(ratio['long'])} long, {_text(ratio['short'])} short axis",
            "1; from 0.5 to 1.5 is fair",
        )
    estimated = report.get("estimated_kernels")
    if estimated:
        learned, single = estimated["learned"], estimated["best_single"]
        yield (
            "the same by effective kernels, an estimate for any network",
            _percent(learned["coverage"]),
            f"{_percent(single['coverage'])} by the best single kernel; estimates "
            "compare with estimates alone",
        )
    noise = report.get("true_noise")
    if noise:
        yield "noise, learned over true", _text(noise["ratio"]), "1"
        ratios = ", ".join(_text(ratio) for ratio in noise["ratio_by_level"])
        yield "the same by eighths of the range, dark to bright", ratios, "1"


def _noise(report: Mapping[str, Any]) -> Iterator[Row]:
    noise = report.get("noise")
    if noise:
        levels = _text(noise["std"] * 255)
        yield "noise within a patch, 8-bit levels", levels, "0: vanished"


def _fidelity(report: Mapping[str, Any]) -> Iterator[Row]:
    found = report.get("fidelity")
    if found:
        yield (
            "correlation of LR images with reduced photographs",
            _text(found["correlation"]),
            "1: the same content; 0: other pictures",
        )
        cast = _text(found["cast"] * 255)
        yield "tint of the LR images, 8-bit levels", cast, "0: no tint"


def _real(report: Mapping[str, Any]) -> Iterator[Row]:
    real = report.get("real_lr")
    if not real:
        return
    found, among = real["synthesised"], real["real"]
    classifier, distance = found["classifier"], found["kernel_distance"]
    reference = "50 %: it guesses"
    if among:
        halves = _interval(among["classifier"])
        reference += f"; {halves} between halves of the observed"
    yield (
        "observed and synthesised patches told apart",
        _interval(classifier),
        reference,
    )
    reference = "0: no difference"
    if among:
        reference += f"; {_distance(among['kernel_distance'])} between halves"
    yield "distance of their features (MMD\u00b2)", _distance(distance), reference


def _interval(found: Mapping[str, Any]) -> str:
    return (
        f"{_percent(found['accuracy'])} of cases (95 % interval "
        f"{_percent(found['low'])} to {_percent(found['high'])})"
    )


def _distance(found: Mapping[str, Any]) -> str:
    return f"{_text(found['mmd2'])} (p = {_text(found['p_value'])})"


def _text(value: float | None) -> str:
    return "none" if value is None else number(float(value))


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.0f} %"
