"""What a report is about: the run, its settings, versions, and the networks' files."""

from collections.abc import Mapping, Sequence
from typing import Any

from pdm_tf.reporting.markup import Markup, tag
from pdm_tf.reporting.opening import Subject
from pdm_tf.reporting.page import Section
from pdm_tf.reporting.tables import facts_table, plain_table


def about_section(subject: Subject, sources: Sequence[tuple[str, str]]) -> Section:
    """The last section: everything to repeat the run and the report.

    Args:
      subject: of the report.
      sources: (what, where from) of the images that the report used.
    """
    settings = subject.settings
    facts = [
        ("run folder", subject.run_dir or "none: a bundle on its own"),
        ("method", _joined(settings, ("method", "preset"))),
        ("step", _steps(subject)),
        ("scale", f"x{subject.scale}"),
        ("seed", settings.get("seed")),
        *((f"network {role}", _network(subject, role)) for role in subject.bundles),
        *sources,
        *_environment(subject.environment),
    ]
    body: list[Markup] = [
        facts_table(
            "The run and what this report used",
            [(name, value) for name, value in facts if value not in (None, "")],
        )
    ]
    if settings:
        body.append(_folded("All settings of the run", "setting", settings))
    for role in subject.bundles:
        bundle = getattr(subject, role)
        config = {
            key: value
            for key, value in vars(bundle.config).items()
            if not key.startswith("_")
        }
        body.append(_folded(f"Settings of {bundle.name}", "setting", config))
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


def _steps(subject: Subject) -> str:
    planned = subject.settings.get("steps")
    if planned is None:
        return f"{subject.step:,}"
    return f"{subject.step:,} of {planned:,}"


def _network(subject: Subject, role: str) -> str:
    bundle, folder = getattr(subject, role), subject.bundles[role]
    weights = "averaged weights" if folder.name.endswith("_ema") else "last weights"
    return (
        f"{bundle.name}, {bundle.network.count_params():,} parameters, {weights} of "
        f"step {bundle.step:,}, bundle {folder.name}, sha256 {bundle.sha256[:12]}"
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
