"""What a check found of two folders of photographs, as sections of a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from pdm_tf.reporting.page import Section
from pdm_tf.reporting.rendering import Column, Sortable, render

LISTED = 8
_WORDS = {"error": "Cannot be used", "warning": "Look", "note": "Good to know"}
_COMPARED = (
    "Brightness and colour should be alike, or the game of training sees them before "
    "it sees blur. Detail is the power of a photograph's finest octave against that of "
    "the one below, -12 dB for sharp photographs. HR photographs with every "
    "scale-th pixel kept should show 4 to 8 dB more of it than LR ones; as much means "
    "that they are as blurred."
)
_ADVICE = "Flags of pdm_tf.train that fit these photographs, and why."


def findings_section(check: Mapping[str, Any]) -> Section:
    """Makes the section of errors, warnings and notes.

    Args:
      check: content of check.json.
    """
    rows = [
        (
            _WORDS[one["level"]],
            one["text"] + (f" ({listed(one['names'])})" if one["names"] else ""),
        )
        for one in check["findings"]
    ]
    if not rows:
        return Section("findings", "What to look at", "Nothing was found amiss.", "")
    body = render("facts", caption="Findings", facts=rows)
    lead = "What was found of the folders, the most serious first."
    return Section("findings", "What to look at", lead, body)


def folders_section(check: Mapping[str, Any]) -> Section:
    """Makes the section that compares the two folders.

    Args:
      check: content of check.json.
    """
    folders = check["hr"], check["lr"]
    rows: list[tuple[str, str, str]] = []

    def add(what: str, tell: Any, needs: str = "usable") -> None:
        told = [tell(of) if of.get(needs) else "–" for of in folders]
        rows.append((what, *told))

    add("folder", lambda of: of["location"], "location")
    add("image files", lambda of: of["files"], "files")
    add("usable", lambda of: of["usable"])
    add("width, px", lambda of: _range(of["width"]))
    add("height, px", lambda of: _range(of["height"]))
    add("megapixels together", lambda of: f"{of['megapixels']:.1f}")
    add("kinds", lambda of: counts(of["kinds"]))
    add("bits a sample", lambda of: " or ".join(of["bits"]))
    add("grey", lambda of: of["grey"])
    add("cameras", lambda of: counts(of["cameras"]), "cameras")
    add("mean red, green, blue", lambda of: _levels(of["mean_255"]))
    add("contrast, levels", lambda of: f"{of['contrast_255']:.0f}")
    add("calmest places, levels", lambda of: f"{of['floor_255']:.1f}")
    add("detail, dB", lambda of: _decibels(of["detail_db"]))
    add("detail when reduced, dB", lambda of: _decibels(of["reduced_detail_db"]))
    body = render(
        "table",
        caption="Both folders",
        headings=["", "HR", "LR"],
        rows=rows,
        notes=[],
    )
    return Section("folders", "The two folders", _COMPARED, body)


def advice_section(advice: Mapping[str, Any], timing: str = "") -> Section:
    """Makes the section of flags, steps and photographs.

    Args:
      advice: of check.json.
      timing: a sentence on how long training takes; "" where it was not measured.
    """
    rows = [
        *advice["flags"],
        ("photographs", " ".join(advice["lines"])),
        *([("time", timing)] if timing else []),
    ]
    body = render("facts", caption="Flags and numbers", facts=rows)
    return Section("advice", "What fits", _ADVICE, body)


def files_section(check: Mapping[str, Any]) -> Section:
    """Makes the section with a row for each photograph of either folder.

    Args:
      check: content of check.json.
    """
    columns = [
        Column("photograph"),
        Column("width, px", 0),
        Column("height, px", 0),
        Column("kind"),
        Column("brightness", 0),
        Column("contrast", 0),
        Column("detail, dB", 1),
        Column("calmest, levels", 1),
        Column("left out"),
    ]
    tables = []
    for role in ("LR", "HR"):
        rows = []
        for one in check[role.lower()]["photographs"]:
            known = bool(one["width"])
            rows.append(
                [
                    one["name"],
                    one["width"] if known else None,
                    one["height"] if known else None,
                    one["kind"],
                    sum(one["mean_255"]) / 3.0 if known else None,
                    one["contrast_255"] if known else None,
                    one["detail_db"],
                    one["floor_255"] if known else None,
                    one["left_out"],
                ]
            )
        title = f"{len(rows)} {role} files"
        tables.append((title, Sortable(f"{title}, levels of 255", columns, rows)))
    body = render("image_tables", tables=tables, closed=True)
    lead = "A heading sorts. Look at both ends of brightness and detail."
    return Section("files", "Every file", lead, body)


def listed(names: Sequence[str]) -> str:
    """The first of the names, and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def counts(of: Mapping[str, int]) -> str:
    """ "12 png, 3 jpeg"."""
    return ", ".join(f"{count} {name}" for name, count in of.items())


def _range(of: Sequence[float]) -> str:
    low, middle, high = of
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f} ({middle:.0f})"


def _levels(of: Sequence[float]) -> str:
    return ", ".join(f"{value:.0f}" for value in of)


def _decibels(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}".replace("-", "−")
