"""What a report is about: the run, its settings, versions, and the networks' files."""

from collections.abc import Mapping, Sequence
from typing import Any

from pdm_tf.reporting.markup import Markup, tag
from pdm_tf.reporting.page import Section
from pdm_tf.reporting.tables import facts_table, plain_table


def about_section(
    run: Mapping[str, Any], sources: Sequence[tuple[str, str]]
) -> Section:
    """The last section: everything to repeat the run and the report.

    Args:
      run: `evaluation.opened_run.OpenedRun.to_json`.
      sources: (what, where from) of the images that the report used.
    """
    settings, networks = run["settings"], run["networks"]
    facts = [
        ("run folder", run["run_dir"] or "none: a bundle on its own"),
        ("method", _joined(settings, ("method", "preset"))),
        ("step", _steps(run)),
        ("scale", f"x{run['scale']}"),
        ("seed", settings.get("seed")),
        *((f"network {role}", _network(found)) for role, found in networks.items()),
        *sources,
        *_environment(run["environment"]),
    ]
    body: list[Markup] = [
        facts_table(
            "The run and what this report used",
            [(name, value) for name, value in facts if value not in (None, "")],
        )
    ]
    if settings:
        body.append(_folded("All settings of the run", "setting", settings))
    for found in networks.values():
        title = f"Settings of {found['name']}"
        body.append(_folded(title, "setting", found["config"]))
    return Section(
        "about",
        "About this run",
        "Versions, settings and files, for whoever wants to repeat it.",
        body,
    )


def _folded(title: str, what: str, values: Mapping[str, Any]) -> Markup:
    rows = [(name, _text(value)) for name, value in values.items()]
    return tag(
        "details", tag("summary", title), plain_table(title, (what, "value"), rows)
    )


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


def _joined(settings: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(str(settings[name]) for name in names if settings.get(name))


def _steps(run: Mapping[str, Any]) -> str:
    planned = run["settings"].get("steps")
    if planned is None:
        return f"{run['step']:,}"
    return f"{run['step']:,} of {planned:,}"


def _network(found: Mapping[str, Any]) -> str:
    bundle = found["bundle"]
    weights = "averaged weights" if bundle.endswith("_ema") else "last weights"
    return (
        f"{found['name']}, {found['parameters']:,} parameters, {weights} of "
        f"step {found['step']:,}, bundle {bundle}, sha256 {found['sha256'][:12]}"
    )


def _environment(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not environment:
        return []
    versions = environment.get("versions", {})
    device = environment.get("device", {})
    gpus = ", ".join(device.get("gpus", [])) or "no GPU"
    return [
        ("started", str(environment.get("started", ""))),
        ("versions", ", ".join(f"{k} {v}" for k, v in versions.items())),
        ("commit", str(environment.get("commit") or "unknown")),
        ("device", f"{device.get('cpus', '?')} CPU cores, {gpus}"),
    ]
