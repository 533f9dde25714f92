"""Makes the reference of all flags and settings from the code itself.

`conf.py` calls `write_pages` before Sphinx reads the sources, so the pages cannot be
older than the programs. What a setting means is what the docstring of its config says.
"""

import dataclasses
import importlib
import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pdm_tf.cli.commands import COMMANDS
from pdm_tf.cli.component import describe_type
from pdm_tf.cli.flag_set import ProgramSpec, as_text

_ENTRY = re.compile(r"^  (\w+(?:, \w+)*): (.*)$")
_HEAD = re.compile(r"^[A-Z]\w+:$")
_NO_DEFAULT = "required"
_TASKS = ("train", "data", "degrade", "inference", "read", "quality")


def write_pages(folder: Path) -> None:
    """Writes `flags.md` and `settings.md` into `folder`, made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"flags": flags_page(), "settings": settings_page()}.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def specs() -> Iterator[tuple[str, ProgramSpec]]:
    """Every command and its flags; `benchmark` has tasks, each with its own."""
    for name, command in COMMANDS.items():
        tasks = [f"pdm_tf.benchmarks.{task}_task" for task in _TASKS]
        for place in tasks if name == "benchmark" else [command.module]:
            module = importlib.import_module(place)
            if hasattr(module, "__path__"):
                module = importlib.import_module(f"{place}.__main__")
            words = module.SPEC.module.split(" ")[1:]
            yield " ".join([name, *words]), module.SPEC


def flags_page() -> str:
    """Returns the page of all flags of all commands."""
    lines = [
        "# Flags of all commands",
        "",
        "As `pdm_tf COMMAND --help` prints them. Settings of parts (`--*_arg`): "
        "[here](settings.md).",
    ]
    for command, spec in specs():
        hints = typing.get_type_hints(spec.config)
        defaults = {f.name: f.default for f in dataclasses.fields(spec.config)}
        lines += ["", f"## {command}", "", _escaped(spec.intro)]
        for title, table in spec.sections.items():
            lines += ["", f"**{_escaped(title)}**", ""]
            lines += ["| flag | default | meaning |", "| --- | --- | --- |"]
            for name, text in table.items():
                shown = as_text(defaults[name])
                lines.append(
                    _row(f"`--{name}`", _value(shown), f"{text} ({_type(hints[name])})")
                )
    return "\n".join(lines) + "\n"


def settings() -> Mapping[str, Mapping[str, type]]:
    """Flag -> name of what it sets -> the config dataclass."""
    from pdm_tf.bundles.networks import CLASSES
    from pdm_tf.degradations import DEGRADATIONS
    from pdm_tf.estimation.measure_source import SourceSettings
    from pdm_tf.methods import METHODS

    networks: dict[str, dict[str, type]] = {}
    for name, network in CLASSES.items():
        networks.setdefault(network.role or "part", {})[name] = network.config_class
    tables = {
        "--method_arg": {name: one.config_class for name, one in METHODS.items()},
        "--sr_arg": networks["sr"],
        "--discriminator_arg": networks["discriminator"],
        "--kernel_arg, --noise_arg, --jpeg_arg": _parts_of_pdm(),
        "--degradation_arg": {
            name: one.config_class for name, one in DEGRADATIONS.items()
        },
        "--estimate_arg": {"the measurement": SourceSettings},
    }
    return {
        flag: {name: one for name, one in table.items() if dataclasses.fields(one)}
        for flag, table in tables.items()
    }


def settings_page() -> str:
    """Returns the page of all keys that `--*_arg` flags take."""
    lines = [
        "# Settings of parts",
        "",
        "What the flags `--*_arg=KEY=VALUE` take. Names that end in `_px` are in HR "
        "pixels, those that end in `_255` in levels of 8 bits.",
    ]
    for flag, table in settings().items():
        lines += ["", f"## `{flag}`"]
        for name, config in table.items():
            about, hints = attributes(config), typing.get_type_hints(config)
            lines += ["", f"### {name}", "", "| key | default | meaning |"]
            lines += ["| --- | --- | --- |"]
            for field in dataclasses.fields(config):
                if any(_classes_in(hints[field.name])):
                    continue  # no value that a flag could give
                lines.append(
                    _row(
                        f"`{field.name}`",
                        _value(_default(field)),
                        f"{about.get(field.name, '')} ({_type(hints[field.name])})",
                    )
                )
    return "\n".join(lines) + "\n"


def attributes(config: type) -> dict[str, str]:
    """What a dataclass's docstring, or its bases', says of each field."""
    found: dict[str, str] = {}
    for base in reversed(config.__mro__):
        doc = inspect.cleandoc(base.__doc__ or "")
        inside, names = False, []
        for line in doc.splitlines():
            if _HEAD.match(line):
                inside, names = line in ("Attributes:", "Args:"), []
            elif inside and (entry := _ENTRY.match(line)):
                names = entry[1].split(", ")
                found |= dict.fromkeys(names, entry[2])
            elif inside and line.startswith("    "):
                found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def _parts_of_pdm() -> dict[str, type]:
    from pdm_tf.degradations.pdm import PDMConfig

    parts = {}
    for field in dataclasses.fields(PDMConfig):
        for one in _classes_in(typing.get_type_hints(PDMConfig)[field.name]):
            parts[f"{field.name}: {one.__name__.removesuffix('Config')}"] = one
    return parts


def _classes_in(annotation: Any) -> Iterator[type]:
    if dataclasses.is_dataclass(annotation):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _classes_in(inner)


def _default(field: dataclasses.Field) -> str:
    if field.default is not dataclasses.MISSING:
        return as_text(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return as_text(field.default_factory())
    return _NO_DEFAULT


def _type(annotation: Any) -> str:
    return _escaped(describe_type(annotation))


def _value(shown: str) -> str:
    return f"`{shown}`" if shown else ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    """Keeps a text from being read as Markdown, but for what stands in backticks."""
    outside = re.split(r"(`[^`]*`)", text)
    outside[::2] = [re.sub(r"(?<!\\)([*_<>\[\]|])", r"\\\1", x) for x in outside[::2]]
    outside[1::2] = [x.replace("|", "\\|") for x in outside[1::2]]
    return "".join(outside)
