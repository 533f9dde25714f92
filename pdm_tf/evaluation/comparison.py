"""Compares several evaluations of one set in a table: ranks and differences.

The layout is that of the paper's tables 2 and 3 (arXiv:2203.04962): methods as rows,
bicubic first, metrics as columns, the best bold and the second underlined. Ranks follow
the numbers as printed, so that equal-looking numbers rank equally.

A row may be several evaluations, as of one method trained with several seeds: an
image's score is then the mean over them, and their own means have a spread, the sample
standard deviation. Where the best row and the second differ by less than that, neither
is better.

Means are over the images that every method has scored, and differences are taken image
by image on them (`bootstrap.paired_interval`). Evaluations that cannot be compared are
refused: another scale, border, kind of metric, or other images under the same names,
which shows in the scores of bicubic.

Where one row is an oracle (a network trained on the true degradation), what the others
reach of its gain over the floor says more than decibels: 1 is all that learning a
degradation can bring.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdm_tf.core.errors import UserError
from pdm_tf.evaluation.bootstrap import (
    LEVEL,
    bootstrap_interval,
    paired_interval,
    sample_deviation,
    share_interval,
)
from pdm_tf.evaluation.results import BASELINE, finite_or_none

BEST = "best"
_SAME = 1e-6  # bicubic's scores on the same images, from any evaluation
Report = Mapping[str, Any]
Values = dict[str, list[float]]  # metric -> one value per image


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
      name: as the user calls it.
      reports: content of the report.json of each of its evaluations, at least one.
    """

    name: str
    reports: tuple[Report, ...]

    @property
    def report(self) -> Report:
        """Of the first, which speaks for all where they are alike."""
        return self.reports[0]


def compare(
    methods: Sequence[Row],
    against: str = BEST,
    oracle: str = "",
    floor: str = BASELINE,
) -> dict[str, Any]:
    """Makes the content of comparison.json.

    Args:
      methods: at least one, of different names.
      against: name of the row to compare with; BEST: for each metric the best row.
      oracle: name of the row whose gain over `floor` the others are measured in; none:
        no shares.
      floor: name of the row whose share is 0.

    Raises:
      UserError: evaluations that cannot be compared, or no such row.
    """
    _check_settings(methods)
    metrics = _common_metrics(methods)
    names = _common_images(methods)
    rows = _rows(methods, names, metrics)
    if against != BEST and against not in rows:
        raise UserError(
            f"--against must be {BEST} or one of {', '.join(rows)}. "
            f"Received: {against!r}."
        )
    if oracle:
        for flag, name in (("oracle", oracle), ("floor", floor)):
            if name not in rows:
                raise UserError(
                    f"--{flag} must be one of {', '.join(rows)}. Received: {name!r}."
                )
        if oracle == floor:
            raise UserError(
                f"--oracle and --floor must be different rows. Received: {oracle}."
            )
    means = {
        who: {metric: _mean(values) for metric, values in table.items()}
        for who, table in rows.items()
    }
    ranks = _ranks(means, metrics)
    spreads = {m.name: _spread(m, names, metrics) for m in methods}
    first = methods[0].report
    return {
        "scale": first["scale"],
        "crop_border": first["crop_border"],
        "count": len(names),
        "against": against,
        **({"oracle": oracle, "floor": floor} if oracle else {}),
        "level": LEVEL,
        "metrics": dict(metrics),
        "ties": _ties(means, spreads, ranks, metrics),
        "methods": [
            {
                "name": who,
                "model": _model_of(who, methods),
                "mean": {m: finite_or_none(v) for m, v in means[who].items()},
                "runs": _count(who, methods),
                "spread": spreads.get(who) or dict.fromkeys(metrics),
                "interval": {
                    m: _pair(bootstrap_interval(rows[who][m])) for m in rows[who]
                },
                "rank": ranks[who],
                "difference": _differences(who, rows, ranks, against, metrics),
                **(
                    {"share": _shares(rows[who], rows[oracle], rows[floor], metrics)}
                    if oracle
                    else {}
                ),
            }
            for who in rows
        ],
        "images": [
            {
                "name": name,
                **{
                    who: {m: finite_or_none(rows[who][m][i]) for m in metrics}
                    for who in rows
                },
            }
            for i, name in enumerate(names)
        ],
        "left_out": _left_out(methods, set(names), set(metrics)),
    }


def _check_settings(methods: Sequence[Row]) -> None:
    names = [method.name for method in methods]
    taken = [name for name in names if names.count(name) > 1 or name == BASELINE]
    if taken:
        raise UserError(
            f"Methods must have different names, other than {BASELINE}, which comes by "
            f"itself. Received: {', '.join(names)}."
        )
    for key in ("scale", "crop_border"):
        found = [(method.name, report[key]) for method, report in _each(methods)]
        if len({value for _, value in found}) > 1:
            text = ", ".join(f"{name} {value}" for name, value in dict(found).items())
            raise UserError(f"Evaluations must have one {key}. Received: {text}.")


def _common_metrics(methods: Sequence[Row]) -> dict[str, Any]:
    """Returns the metrics of all methods, in the first's order; checks their files."""
    common = {
        name: spec
        for name, spec in methods[0].report["metrics"].items()
        if all(name in report["metrics"] for _, report in _each(methods))
    }
    if not common:
        text = "; ".join(f"{m.name}: {', '.join(m.report['metrics'])}" for m in methods)
        raise UserError(f"Evaluations must have a metric in common. Received: {text}.")
    for name, spec in common.items():
        for method, report in _each(methods):
            other = report["metrics"][name]
            if other.get("source") != spec.get("source"):
                raise UserError(
                    f"{name} must be made from one file to be compared. Received: "
                    f"{methods[0].name} with {spec.get('source')}, {method.name} with "
                    f"{other.get('source')}."
                )
    return common


def _common_images(methods: Sequence[Row]) -> list[str]:
    having = [{i["name"] for i in report["images"]} for _, report in _each(methods)]
    names = [
        image["name"]
        for image in methods[0].report["images"]
        if all(image["name"] in known for known in having)
    ]
    if not names:
        text = "; ".join(
            f"{m.name}: {m.report['images'][0]['name']}, ..." for m in methods
        )
        raise UserError(f"Evaluations must have images in common. Received: {text}.")
    return names


def _rows(
    methods: Sequence[Row], names: Sequence[str], metrics: Mapping[str, Any]
) -> dict[str, Values]:
    """Row -> metric -> values; bicubic first, where an evaluation has it."""
    rows: dict[str, Values] = {}
    baseline: Values | None = None
    for method in methods:
        of_each = [_scores(report, names, metrics) for report in method.reports]
        rows[method.name] = {
            m: [
                _mean_over_runs(values)
                for values in zip(*(scores[m] for scores in of_each), strict=True)
            ]
            for m in metrics
        }
        for report, scores in zip(method.reports, of_each, strict=True):
            found = scores
            if report["model"] != BASELINE:
                found = _scores(report, names, metrics, BASELINE)
            if found is None:
                continue
            if baseline is not None:
                _check_same(method.name, found, baseline, names)
            baseline = baseline or found
    if baseline is not None:
        # A method that is bicubic itself, under another name, would be there twice.
        same = [m.name for m in methods if m.report["model"] == BASELINE]
        rows = {n: values for n, values in rows.items() if n not in same}
        rows = {BASELINE: baseline, **rows}
    return rows


def _scores(
    report: Report, names: Sequence[str], metrics: Mapping[str, Any], who: str = ""
) -> Values | None:
    """Metric -> values of these images; of the row `who` that is beside, if it is."""
    images = {image["name"]: image for image in report["images"]}
    chosen = [images[name] for name in names]
    if who and not all(who in image for image in chosen):
        return None
    rows = [image[who] for image in chosen] if who else chosen
    return {m: [_value(row, m) for row in rows] for m in metrics}


def _mean_over_runs(values: Sequence[float]) -> float:
    """Infinite where one of them is: only finite ones are averaged over images."""
    return math.fsum(values) / len(values)


def _spread(
    method: Row, names: Sequence[str], metrics: Mapping[str, Any]
) -> dict[str, float | None]:
    """Metric -> sample standard deviation of the evaluations' means; None for one."""
    of_each = [_scores(report, names, metrics) for report in method.reports]
    found: dict[str, float | None] = {}
    for metric in metrics:
        means = [_mean(scores[metric]) for scores in of_each]
        found[metric] = sample_deviation(means)
    return found


def _ties(
    means: Mapping[str, Mapping[str, float]],
    spreads: Mapping[str, Mapping[str, float | None]],
    ranks: Mapping[str, Mapping[str, int]],
    metrics: Mapping[str, Any],
) -> dict[str, Any]:
    """Metric -> best and second row, where their difference is below their spread."""
    found: dict[str, Any] = {}
    for metric in metrics:
        order = sorted(means, key=lambda who: ranks[who][metric])
        if len(order) < 2:
            continue
        best, second = order[:2]
        of_both = [spreads.get(who, {}).get(metric) for who in (best, second)]
        known = [spread for spread in of_both if spread is not None]
        difference = abs(means[best][metric] - means[second][metric])
        if known and difference <= max(known):
            found[metric] = {
                "best": best,
                "second": second,
                "difference": difference,
                "spread": max(known),
            }
    return found


def _check_same(
    who: str, found: Values, baseline: Values, names: Sequence[str]
) -> None:
    for metric, values in found.items():
        for name, ours, theirs in zip(names, values, baseline[metric], strict=True):
            if ours != theirs and not abs(ours - theirs) <= _SAME:
                raise UserError(
                    "Evaluations must be of the same images, and by one version: "
                    "earlier ones had bicubic on its usual grid alone. Received: "
                    f"bicubic has {metric} {ours:.4f} on {name} in the evaluation of "
                    f"{who}, and {theirs:.4f} in one before it. Evaluate again."
                )


def _ranks(
    means: Mapping[str, Mapping[str, float]], metrics: Mapping[str, Any]
) -> dict[str, dict[str, int]]:
    """Row -> metric -> 1 for the best, 2 for the second, ...; equal as printed."""
    ranks: dict[str, dict[str, int]] = {who: {} for who in means}
    for metric, spec in metrics.items():
        printed = {who: round(v[metric], spec["decimals"]) for who, v in means.items()}
        order = sorted(set(printed.values()), reverse=spec["higher_is_better"])
        for who, value in printed.items():
            ranks[who][metric] = order.index(value) + 1
    return ranks


def _differences(
    who: str,
    rows: Mapping[str, Values],
    ranks: Mapping[str, Mapping[str, int]],
    against: str,
    metrics: Mapping[str, Any],
) -> dict[str, Any]:
    """Metric -> {"to", "mean", "interval"} of this row minus the other; null for it."""
    found: dict[str, Any] = {}
    for metric in metrics:
        other = against
        if against == BEST:
            other = next(name for name in rows if ranks[name][metric] == 1)
        if other == who:
            found[metric] = None
            continue
        ours, theirs = rows[who][metric], rows[other][metric]
        both = [
            a - b
            for a, b in zip(ours, theirs, strict=True)
            if math.isfinite(a) and math.isfinite(b)
        ]
        found[metric] = {
            "to": other,
            "mean": sum(both) / len(both) if both else None,
            "interval": _pair(paired_interval(ours, theirs)),
        }
    return found


def _shares(
    values: Values, oracle: Values, floor: Values, metrics: Mapping[str, Any]
) -> dict[str, Any]:
    """Metric -> {"value", "interval"}, parts of the oracle's gain over the floor.

    None where the oracle has no gain, or no image has three finite scores.
    """
    found: dict[str, Any] = {}
    for metric, spec in metrics.items():
        three = zip(values[metric], floor[metric], oracle[metric], strict=True)
        finite = [scores for scores in three if all(map(math.isfinite, scores))]
        sign = 1 if spec["higher_is_better"] else -1
        over = math.fsum(value - low for value, low, _ in finite)
        gain = math.fsum(high - low for _, low, high in finite)
        found[metric] = None
        if sign * gain > 0:
            ends = share_interval(values[metric], floor[metric], oracle[metric])
            found[metric] = {"value": over / gain, "interval": _pair(ends)}
    return found


def _left_out(
    methods: Sequence[Row], names: set[str], metrics: set[str]
) -> list[dict[str, str]]:
    """Images and metrics that not all methods have."""
    out: dict[tuple[str, str], None] = {}
    for method, report in _each(methods):
        missing = [i["name"] for i in report["images"] if i["name"] not in names]
        missing += [name for name in report["metrics"] if name not in metrics]
        out |= dict.fromkeys((method.name, name) for name in missing)
    return [{"method": method, "name": name} for method, name in out]


def _each(methods: Sequence[Row]) -> Iterator[tuple[Row, Report]]:
    return ((method, report) for method in methods for report in method.reports)


def _count(who: str, methods: Sequence[Row]) -> int:
    return next((len(m.reports) for m in methods if m.name == who), 1)


def _model_of(who: str, methods: Sequence[Row]) -> str:
    found = [m.report["model"] for m in methods if m.name == who]
    return found[0] if found else BASELINE


def _value(scores: Mapping[str, Any], metric: str) -> float:
    value = scores[metric]
    return math.inf if value is None else float(value)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.inf


def _pair(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)
