"""A comparison for people, made from comparison.json: Markdown, CSV, terminal, page.

comparison.html shows the table, the differences, and the same crops side by side.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from pdm_tf.core import text_table
from pdm_tf.core.files import write_json_atomic, write_text_atomic
from pdm_tf.reporting.evaluation import number
from pdm_tf.reporting.page import Section, render_page
from pdm_tf.reporting.rendering import Column, Sortable, Spread, minus, render

Comparison = Mapping[str, Any]
_MARKS = {1: "**{}**", 2: "<u>{}</u>"}
FILE = "comparison.html"
COSTS = "What a run took"
_TABLE = (
    "Means over the images. Bold is the best of a column, underlined the second; "
    "arrows point to what is better. The headings sort, by mouse or, once focused, by "
    "Enter and the space bar."
)
_SHARES = (
    "0 % is the floor, 100 % the oracle: a network of the same kind and schedule, "
    "trained on the true degradation. More than that is chance, or another network."
)
_COSTS = (
    "Means over the runs of a method: wall-clock time of training, the most memory "
    "that its process held, and the size of its networks."
)
_CROPS = (
    "The same region of the same image, pixel by pixel, one image a row and one method "
    "a column. Images are chosen evenly by name, not by looks; the region is the most "
    "textured one, chosen before any network saw it."
)


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Writes comparison.json, .csv and .md into `folder`; returns the JSON's path."""
    path = folder / "comparison.json"
    write_json_atomic(path, dict(comparison))
    write_text_atomic(folder / "comparison.csv", csv_text(comparison))
    write_text_atomic(folder / "comparison.md", markdown(comparison))
    return path


def markdown(comparison: Comparison) -> str:
    """The table with the best bold and the second underlined, and the differences."""
    lines = ["# Comparison", "", setting(comparison), ""]
    lines += text_table.markdown_table(score_rows(comparison, _MARKS))
    if costs := cost_rows(comparison):
        lines += ["", f"## {COSTS}", ""]
        lines += text_table.markdown_table(costs)
    if len(comparison["methods"]) > 1:
        lines += ["", f"## {differences_title(comparison)}", ""]
        lines += text_table.markdown_table(difference_rows(comparison))
    if "oracle" in comparison:
        lines += ["", f"## {shares_title(comparison)}", ""]
        lines += text_table.markdown_table(share_rows(comparison))
    lines += [f"\n{note}" for note in _all_notes(comparison)]
    return "\n".join(lines) + "\n"


def terminal_text(comparison: Comparison) -> str:
    """The table for a terminal: * the best, + the second."""
    lines = text_table.aligned(
        score_rows(comparison, {1: "{}*", 2: "{}+"}, "{} "), rule=True
    )
    lines += ["", f"{setting(comparison)} * best, + second."]
    if costs := cost_rows(comparison):
        lines += ["", COSTS, *text_table.aligned(costs, rule=True)]
    if len(comparison["methods"]) > 1:
        lines += ["", differences_title(comparison)]
        lines += text_table.aligned(difference_rows(comparison), rule=True)
    if "oracle" in comparison:
        lines += ["", shares_title(comparison)]
        lines += text_table.aligned(share_rows(comparison), rule=True)
    return "\n".join([*lines, *("\n" + note for note in _all_notes(comparison))])


def csv_text(comparison: Comparison) -> str:
    """One row per method and metric, not rounded; infinite as inf."""
    rows: list[list[Any]] = [
        ["method", "metric", "mean", "low", "high", "rank"]
        + ["compared_with", "difference", "difference_low", "difference_high"]
        + ["share", "share_low", "share_high", "spread", "runs"]
    ]
    for method in comparison["methods"]:
        for metric in comparison["metrics"]:
            mean = method["mean"][metric]
            row = [method["name"], metric, "inf" if mean is None else mean]
            row += [*_ends(method["interval"][metric]), method["rank"][metric]]
            found = method["difference"][metric]
            if found:
                row += [found["to"], found["mean"], *_ends(found["interval"])]
            row += [""] * (10 - len(row))
            share = method.get("share", {}).get(metric)
            row += [share["value"], *_ends(share["interval"])] if share else [""] * 3
            rows.append([*row, _or_empty(method["spread"][metric]), method["runs"]])
        for name, found in method.get("columns", {}).items():
            if found["mean"] is not None:
                row = [method["name"], name, found["mean"], *[""] * 10]
                rows.append([*row, _or_empty(found["spread"]), method["runs"]])
    for entry in comparison.get("missing", ()):
        rows.append([entry["method"], f"missing: {entry['reason']}", *[""] * 13])
    return text_table.csv_text(rows)


def score_rows(
    comparison: Comparison, marks: Mapping[int, str], plain: str = "{}"
) -> list[list[str]]:
    """Headings, then one row of means per method, ranks marked.

    Rows of several runs have their spread behind the mean. Columns of runs, not of
    images, follow; rows of which nothing could be evaluated come last.
    """
    metrics, columns = comparison["metrics"], columns_of(comparison, ranked=True)
    specs = {**metrics, **columns}
    rows = [["method", *(heading(name, spec) for name, spec in specs.items())]]
    for method in comparison["methods"]:
        cells = [
            marks.get(method["rank"][name], plain).format(
                _with_spread(spec, method["mean"][name], method["spread"][name])
            )
            for name, spec in metrics.items()
        ]
        cells += [plain.format(text) for text in _column_cells(method, columns)]
        rows.append([method["name"], *cells])
    for name in comparison.get("absent", ()):
        rows.append([name, *(plain.format("-") for _ in specs)])
    return rows


def cost_rows(comparison: Comparison) -> list[list[str]]:
    """Headings, then what the runs of each method took; empty where nothing is known.

    Rows without any number, such as bicubic, are left out.
    """
    columns = columns_of(comparison, ranked=False)
    rows = [["method", *(heading(name, spec) for name, spec in columns.items())]]
    for method in comparison["methods"] if columns else ():
        cells = _column_cells(method, columns)
        if any(cell != "-" for cell in cells):
            rows.append([method["name"], *cells])
    return rows if len(rows) > 1 else []


def columns_of(comparison: Comparison, *, ranked: bool) -> dict[str, Mapping[str, Any]]:
    """The columns of runs: those in which one value is better than another, or not."""
    return {
        name: spec
        for name, spec in comparison.get("columns", {}).items()
        if (spec["higher_is_better"] is not None) == ranked
    }


def _column_cells(
    method: Mapping[str, Any], columns: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    cells = []
    for name, spec in columns.items():
        found = method["columns"][name]
        known = found["mean"] is not None
        text = _with_spread(spec, found["mean"], found["spread"]) if known else "-"
        cells.append(text)
    return cells


def _with_spread(
    spec: Mapping[str, Any], mean: float | None, spread: float | None
) -> str:
    """24.31 ± 0.05; the mean alone where no spread is known."""
    text = number(spec, mean)
    return text if spread is None else f"{text} ± {number(spec, spread)}"


def difference_rows(comparison: Comparison) -> list[list[str]]:
    """Headings, then per method the mean difference and its interval."""
    metrics = comparison["metrics"]
    rows = [["method", *(heading(name, spec) for name, spec in metrics.items())]]
    for method in comparison["methods"]:
        cells = [
            difference_cell(spec, method["difference"][name])
            for name, spec in metrics.items()
        ]
        rows.append([method["name"], *cells])
    return rows


def difference_cell(spec: Mapping[str, Any], found: Mapping[str, Any] | None) -> str:
    """-0.32 (-0.50 to -0.14); ~ before it where the interval holds 0."""
    if found is None:
        return "0"
    if found["mean"] is None:
        return "none"
    mean = number(spec, found["mean"], sign="+")
    if found["interval"] is None:
        return mean
    low, high = found["interval"]
    about = "~ " if low <= 0 <= high else ""
    ends = " to ".join(number(spec, value, sign="+") for value in (low, high))
    return f"{about}{mean} ({ends})"


def share_rows(comparison: Comparison) -> list[list[str]]:
    """Headings, then per method its part of the oracle's gain, and the interval."""
    metrics = comparison["metrics"]
    rows = [["method", *metrics]]
    for method in comparison["methods"]:
        cells = [share_cell(method["share"][name]) for name in metrics]
        rows.append([method["name"], *cells])
    return rows


def share_cell(found: Mapping[str, Any] | None) -> str:
    """81 % (74 to 86)."""
    if found is None:
        return "no gain to share"
    value = f"{100 * found['value']:.0f} %"
    if found["interval"] is None:
        return value
    low, high = (f"{100 * end:.0f}" for end in found["interval"])
    return value if low == high else f"{value} ({low} to {high})"


def shares_title(comparison: Comparison) -> str:
    """Names the rows between which shares are measured."""
    return (
        f"Share of the gain of {comparison['oracle']} over {comparison['floor']}, with "
        f"its {comparison['level']:.0%} interval"
    )


def differences_title(comparison: Comparison) -> str:
    """Names the row that differences are taken to."""
    against = comparison["against"]
    other = "the best of each metric" if against == "best" else against
    return f"Difference to {other}, with its {comparison['level']:.0%} interval"


def setting(comparison: Comparison) -> str:
    """One line: how many images, how they were scored."""
    return (
        f"{comparison['count']} images, x{comparison['scale']}, RGB, "
        f"{comparison['crop_border']} px cropped off every side."
    )


def _all_notes(comparison: Comparison) -> list[str]:
    return [*notes_on_differences(comparison), *notes(comparison)]


def notes_on_differences(comparison: Comparison) -> list[str]:
    """Explains how to read the table of differences, if there is one."""
    if len(comparison["methods"]) < 2:
        return []
    return [
        "Differences are taken image by image; their intervals are BCa bootstraps over "
        "the images. ~: the interval holds 0, so the difference may be chance."
    ]


def notes(comparison: Comparison) -> list[str]:
    """Explains how to read the scores, and what is not among them."""
    out = []
    if any(method["runs"] > 1 for method in comparison["methods"]):
        out.append(
            "±: sample standard deviation over runs of different seeds; the mean of an "
            "image is that over the runs. A difference below the spread is none."
        )
    for name, tie in comparison["ties"].items():
        spec = comparison["metrics"][name]
        out.append(
            f"{name}: {tie['best']} and {tie['second']} differ by "
            f"{number(spec, tie['difference'])}, which is not more than the spread "
            f"over runs, {number(spec, tie['spread'])}: neither is better."
        )
    out += comparison.get("column_notes", [])
    out += [
        f"{name}: {spec['source']}."
        for name, spec in comparison["metrics"].items()
        if "source" in spec
    ]
    out += _left_out(comparison)
    return out


def _left_out(comparison: Comparison) -> list[str]:
    """Names images and metrics, and runs, that are not in the table."""
    left: dict[str, list[str]] = {}
    for entry in comparison["left_out"]:
        left.setdefault(entry["method"], []).append(entry["name"])
    out = []
    for method, names in left.items():
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        out.append(
            f"Not in every evaluation, so left out: of {method} "
            f"{', '.join(names[:5])}{more}."
        )
    missing: dict[str, list[str]] = {}
    for entry in comparison.get("missing", ()):
        missing.setdefault(entry["reason"], []).append(entry["run"])
    out += [f"Missing: {', '.join(runs)}: {why}." for why, runs in missing.items()]
    return out


def heading(name: str, spec: Mapping[str, Any]) -> str:
    """Formats psnr (dB) with an arrow in the better direction."""
    unit = f" ({spec['unit']})" if spec["unit"] else ""
    arrow = {True: " ↑", False: " ↓", None: ""}[spec["higher_is_better"]]
    return f"{name}{unit}{arrow}"


def _or_empty(value: float | None) -> Any:
    return "" if value is None else value


def _ends(interval: Sequence[float] | None) -> list[Any]:
    return ["", ""] if interval is None else list(interval)


class CropRow(NamedTuple):
    """One image, made by every method.

    Attributes:
      name: of the image.
      region: (top, left, height, width) in SR pixels.
      cells: (title, crop or None if it was not kept, line below).
    """

    name: str
    region: tuple[int, int, int, int]
    cells: Sequence[tuple[str, np.ndarray | None, str]]

    @property
    def items(self) -> list[tuple[np.ndarray | None, str, tuple[str, str]]]:
        """Lists (crop, description, lines below) of each cell."""
        return [
            (crop_u8, f"{self.name}, {title}", (title, line))
            for title, crop_u8, line in self.cells
        ]


def comparison_page(
    comparison: Mapping[str, Any], crops: Sequence[CropRow], footer: str
) -> str:
    """Makes the whole document.

    Args:
      comparison: content of comparison.json.
      crops: images to show, in order.
      footer: program and time.
    """
    sections = comparison_sections(comparison, crops)
    models = [(m["name"], m["model"]) for m in comparison["methods"]]
    body = render("facts", caption="Methods of the table", facts=models)
    sections.append(Section("about", "About the methods", "", body))
    count = len(comparison["methods"])
    return render_page(
        f"{count} method{'' if count == 1 else 's'} on one set",
        setting(comparison),
        None,
        sections,
        footer,
    )


def comparison_sections(
    comparison: Mapping[str, Any], crops: Sequence[CropRow], of: str = ""
) -> list[Section]:
    """The sections of one table: scores, costs, differences, shares, crops, images.

    Args:
      comparison: content of comparison.json.
      crops: images to show, in order.
      of: name of the set, where a page has several.
    """
    before = f"{of}-" if of else ""

    def section(anchor: str, title: str, lead: str, body: Markup) -> Section:
        name = f"{of}: {title[0].lower()}{title[1:]}" if of else title
        return Section(before + anchor, name, lead, body)

    body = render("sortable", table=_scores(comparison), notes=notes(comparison))
    sections = [section("table", "Scores", f"{setting(comparison)} {_TABLE}", body)]
    if costs := cost_rows(comparison):
        body = _text_table(COSTS, costs)
        sections.append(section("costs", COSTS, _COSTS, body))
    if len(comparison["methods"]) > 1:
        body = _text_table(
            differences_title(comparison),
            difference_rows(comparison),
            notes_on_differences(comparison),
        )
        sections.append(section("differences", "Differences", "", body))
    if "oracle" in comparison:
        body = _text_table(shares_title(comparison), share_rows(comparison))
        sections.append(section("shares", "Share of the oracle's gain", _SHARES, body))
    if crops:
        body = render("crops", crops=crops)
        sections.append(section("crops", "Crops", _CROPS, body))
    title, lead = "All images", "Open a metric; its headings sort."
    sections.append(section("images", title, lead, _images(comparison)))
    return sections


def _text_table(
    caption: str, rows: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> str:
    """A table of the page; the first of `rows` has the headings."""
    head, *body = rows
    cells = [[minus(cell) for cell in row] for row in body]
    return render("table", caption=caption, headings=head, rows=cells, notes=notes)


def _scores(comparison: Mapping[str, Any]) -> Sortable:
    metrics, columns = comparison["metrics"], columns_of(comparison, ranked=True)
    specs = {**metrics, **columns}
    cells = [Column("method")]
    cells += [
        Column(heading(name, spec), spec["decimals"]) for name, spec in specs.items()
    ]
    rows, marks = [], {}
    for y, method in enumerate(comparison["methods"]):
        scores = [Spread(method["mean"][n], method["spread"][n]) for n in metrics]
        found = [method["columns"][name] for name in columns]
        scores += [Spread(column["mean"], column["spread"]) for column in found]
        rows.append([method["name"], *scores])
        for x, name in enumerate(metrics, start=1):
            mark = {1: "best", 2: "second"}.get(method["rank"][name])
            if mark:
                marks[y, x] = mark
    rows += [[name, *(None for _ in specs)] for name in comparison.get("absent", ())]
    return Sortable("Means over the images", cells, rows, marks)


def _images(comparison: Mapping[str, Any]) -> Markup:
    """One sortable table per metric: images as rows, methods as columns."""
    tables = []
    for metric, spec in comparison["metrics"].items():
        names = [method["name"] for method in comparison["methods"]]
        heads = [Column("image"), *(Column(name, spec["decimals"]) for name in names)]
        rows = [
            [image["name"], *(image[name][metric] for name in names)]
            for image in comparison["images"]
        ]
        title = heading(metric, spec)
        tables.append((title, Sortable(f"{title} of each image", heads, rows)))
    return render("image_tables", tables=tables)
