"""The flags of one program, made from its config dataclass, and flag files.

    @dataclass(frozen=True)
    class TrainConfig:
        hr_dir: str = flag("", "High-resolution photographs.", section="Data")
        steps: int = flag(200_000, "Train until this step.", at_least=1)

A flag is one entry: the field gives its name, type and default, `flag` its help text
and its simple rules. A program declares a `ProgramSpec`: that frozen dataclass, an
introduction and example commands.
The flags live in an `absl.flags.FlagValues` of their own (not the global
`flags.FLAGS`), so that programs which share flag names can be parsed in one process.

absl can read flag files itself, but with traps that cost people a day: an indented `#`
line is not taken for a comment (absl 2.1 to 2.5 leave it as a positional argument,
which our parser refuses), an included path is relative to the working directory, and an
error does not name the file of the wrong flag. So the files are expanded here, and absl
parses the resulting list.

The rules: blank lines and lines whose first character is `#` or that start with `//`
are skipped; every other line is one `--name=value`, nothing quoted, the value reaching
to the end of the line; `--flagfile=PATH` includes another file at that place, PATH
relative to the including file (or, if there is no such file, to the working directory,
as in absl), or the name of one that comes with the package, `--flagfile=camera`, from
any folder; a file that exists wins. Flags that come later win; `--*_arg` flags add up,
a later key winning.
"""

import dataclasses
import difflib
import os
import shutil
import sys
import textwrap
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from absl import flags

from pdm_tf.cli.commands import how_to_start
from pdm_tf.cli.component import describe_type, value_from_text
from pdm_tf.core.errors import UserError

# (a line of a flag file, where it stands) -> the line to take instead.
Fill = Callable[[str, str], str]

# The flag files that are known by name: in a checkout a link to configs/.
CONFIGS = Path(__file__).resolve().parents[1] / "configs"
_SUFFIX = ".flags"

# The name of a flag in version 0.1 -> its name now, in every program that has that one;
# taken with a remark until the next release.
_RENAMED = {"input_dir": "input", "output_dir": "output"}

_LIMITS = ("max_pixels", "max_file_mb")  # of pictures, see `photographs.set_limits`
_HELP_FLAGS = ("--help", "-help", "-h", "--helpfull", "--helpshort")


def flag(
    default: Any,
    help_text: str,
    *,
    section: str = "",
    required: bool = False,
    at_least: float | None = None,
    free_on_resume: bool = False,
    beside: bool = False,
) -> Any:
    """A dataclass field that is a flag.

    Args:
      default: its default value, immutable.
      help_text: its meaning and unit; whole sentences.
      section: title of the section of the help that begins with this flag; empty for
        a flag in the same section as the one before it.
      required: whether it must not be empty; checked by `core.checks.check_flags`.
      at_least: its least value; checked by `core.checks.check_flags`.
      free_on_resume: whether a training run may be resumed with another value.
      beside: whether it names flag files, NAME=PATH, which are looked for as
        `--flagfile` is: beside the flag file that names them.
    """
    rules = {"required": required or None, "at_least": at_least}
    given = {name: value for name, value in rules.items() if value is not None}
    metadata = {"help": help_text, "section": section, **given}
    if free_on_resume:
        metadata["free_on_resume"] = True
    if beside:
        metadata["beside"] = True
    return dataclasses.field(default=default, metadata=metadata)


def progress_flag(elsewhere: str = "") -> Any:
    """The flag `progress`, which programs with long work share.

    Args:
      elsewhere: what the program shows where there is no terminal; a whole sentence.
    """
    text = "Progress bar with the time left on standard error; `auto`: when it is a "
    return flag("auto", f"{text}terminal. {elsewhere}".strip())


def sha256_flag(of: str) -> Any:
    """The flag `sha256` of programs that open a file of weights.

    Args:
      of: what it is the hash of, after "of".
    """
    return flag(
        "",
        f"SHA-256, in hexadecimal, of {of}; another file is refused before anything in "
        "it is read. Empty takes any.",
    )


class HelpRequested(Exception):
    """`--help` was among the flags; carries the text to print."""


@dataclasses.dataclass(frozen=True)
class ProgramSpec:
    """A program's name, the config that its flags fill, and its help.

    Attributes:
      module: as started with `python -m`, e.g. "pdm_tf.train".
      config: frozen dataclass; every field is a flag. Types as in `component.py`;
        a `tuple[str, ...]` is a flag that may be repeated and adds up.
      intro: one paragraph: what the program does and what it writes.
      examples: whole commands.
      sections: section title -> flag name -> help with the unit, every field once.
        Empty: as the fields' own `flag` entries say.
    """

    module: str
    config: type
    intro: str
    examples: tuple[str, ...]
    sections: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.sections:
            object.__setattr__(self, "sections", sections_of(self.config))


def parse(spec: ProgramSpec, argv: Sequence[str], fill: Fill | None = None) -> Any:
    """Returns the `spec.config` that the arguments (without the program name) describe.

    The limits on pictures, which every program takes, are set if they are among them.

    Args:
      spec: of the program.
      argv: its arguments.
      fill: see `expand`.

    Raises:
      HelpRequested: `--help` was given.
      UserError: an unknown flag (the nearest right name is given), a wrong value, a
        flag file that cannot be read, or a config that the dataclass refuses.
    """
    arguments = _renamed(expand(argv, fill), spec.config)
    arguments = [_found(arg, spec.config) for arg in arguments]
    if any(arg.text in _HELP_FLAGS for arg in arguments):
        raise HelpRequested(help_text(spec))
    values = flag_values(spec)
    _refuse_values_of_no(arguments, values)
    origins = {arg.text: f" ({arg.origin})" for arg in arguments if arg.origin}
    try:
        rest = values([spec.module, *(arg.text for arg in arguments)])[1:]
    except flags.UnrecognizedFlagError as error:
        name = error.flagname
        hint = (
            _nearest(name, list(values)) or f" See {how_to_start(spec.module)} --help."
        )
        where = origins.get(error.flagvalue, "")
        raise UserError(f"unknown flag --{name}{where}.{hint}") from error
    except flags.Error as error:
        origin = next((o for text, o in origins.items() if text in str(error)), "")
        raise UserError(f"{error}{origin}") from error
    limits = {name: values[name].value for name in _LIMITS}
    if any(limits.values()):
        from pdm_tf.core.photographs import set_limits

        set_limits(**limits)
    if rest:
        raise UserError(
            f"flags are written --name=value. Received: {' '.join(rest)!r}."
        )
    return spec.config(
        **{
            field.name: _frozen(values[field.name].value)
            for field in dataclasses.fields(spec.config)
        }
    )


def flag_values(spec: ProgramSpec) -> flags.FlagValues:
    """Returns the absl flags of the program, at their defaults."""
    values = flags.FlagValues()
    values.set_gnu_getopt()
    hints = typing.get_type_hints(spec.config)
    helps = {
        name: text for table in spec.sections.values() for name, text in table.items()
    }
    for field in dataclasses.fields(spec.config):
        annotation, default = hints[field.name], _default(field)
        args = {"name": field.name, "default": default, "help": helps[field.name]}
        if annotation is bool:
            flags.DEFINE_boolean(flag_values=values, **args)
        elif annotation == tuple[str, ...]:
            args["default"] = list(default)
            flags.DEFINE_multi_string(flag_values=values, **args)
        elif annotation is str:
            flags.DEFINE_string(flag_values=values, **args)
        else:
            parser = _Parser(annotation, field.name)
            flags.DEFINE(parser, flag_values=values, serializer=_Serializer(), **args)
    flags.DEFINE_integer("max_pixels", 0, "", lower_bound=0, flag_values=values)
    flags.DEFINE_float("max_file_mb", 0.0, "", lower_bound=0.0, flag_values=values)
    return values


def to_flags_text(spec: ProgramSpec, config: Any) -> str:
    """Returns a flag file from which `parse` makes `config` again."""
    hints = typing.get_type_hints(spec.config)
    lines = [f"# python -m {spec.module} --flagfile=<this file>"]
    for title, table in spec.sections.items():
        lines += ["", f"# {title}"]
        for name in table:
            value = getattr(config, name)
            is_repeated = hints[name] == tuple[str, ...]
            texts = value if is_repeated else (as_text(value),)
            lines += [f"--{name}={text}" for text in texts]
    return "\n".join(lines) + "\n"


def help_text(spec: ProgramSpec) -> str:
    """Returns the text of `--help`: introduction, examples, flags by section."""
    width = min(shutil.get_terminal_size((88, 24)).columns, 100)
    start = how_to_start(spec.module)
    parts = [f"usage: {start} [--flagfile=FILE] [--name=value ...]", ""]
    parts += [*textwrap.wrap(spec.intro, width), "", "Examples:"]
    own = f"python -m {spec.module} "
    parts += [f"  {example.replace(own, f'{start} ')}" for example in spec.examples]
    hints = typing.get_type_hints(spec.config)
    defaults = {f.name: _default(f) for f in dataclasses.fields(spec.config)}
    for title, table in spec.sections.items():
        parts += ["", f"{title}:"]
        for name, text in table.items():
            parts.append(f"  --{_usage(name, hints[name])}")
            shown = as_text(defaults[name])
            tail = f"Default: {shown}." if shown else ""
            parts += textwrap.wrap(
                f"{text} {tail}".strip(),
                width,
                initial_indent=" " * 6,
                subsequent_indent=" " * 6,
                break_long_words=False,
                break_on_hyphens=False,
            )
    parts += [
        "",
        "Flag files: one --name=value per line; lines that start with # are comments;",
        "--flagfile=FILE includes another (relative to the file), or one that comes",
        "with the package by its name, e.g. --flagfile=camera. Later flags win: put",
        "overrides after it. Flags named *_arg may be repeated and add up.",
        "",
        "Every program takes --max_pixels=N and --max_file_mb=X: larger pictures are",
        "refused by their headers, before anything is decoded. By default pictures of",
        "179 million pixels are read, and any number where rows pass one by one.",
    ]
    return "\n".join(parts)


class _Parser(flags.ArgumentParser):
    """Reads one of the types of `component.py`."""

    def __init__(self, annotation: Any, name: str) -> None:
        super().__init__()
        self._annotation, self._name = annotation, name

    def parse(self, argument: Any) -> Any:
        if not isinstance(argument, str):
            return argument  # the default
        try:
            return value_from_text(argument, self._annotation, "it")
        except UserError as error:
            raise ValueError(str(error)) from error

    def flag_type(self) -> str:
        return describe_type(self._annotation)


class _Serializer(flags.ArgumentSerializer):
    def serialize(self, value: Any) -> str:
        return as_text(value)


def sections_of(config: type) -> dict[str, dict[str, str]]:
    sections: dict[str, dict[str, str]] = {}
    title = ""
    for field in dataclasses.fields(config):
        title = field.metadata.get("section") or title
        if not title or not field.metadata.get("help"):
            raise TypeError(
                "Every field of a program's config must have a help text and the first "
                f"a section, see `flag`. Received: {config.__name__}.{field.name}."
            )
        sections.setdefault(title, {})[field.name] = field.metadata["help"]
    return sections


def _nearest(name: str, options: Sequence[str]) -> str:
    bare = name[2:] if name.startswith("no") and name not in options else name
    for candidate in (name, bare):
        close = difflib.get_close_matches(candidate, options, n=1, cutoff=0.6)
        if close:
            return f" Did you mean --{close[0]}?"
    return ""


def _default(field: dataclasses.Field) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    raise TypeError(f"A flag needs a default. Received: field {field.name!r}.")


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def as_text(value: Any) -> str:
    """Returns a flag's value in the form for a flag file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(as_text(item) for item in value)
    return "none" if value is None else str(value)


def _usage(name: str, annotation: Any) -> str:
    if annotation is bool:
        return f"[no]{name}"
    if typing.get_origin(annotation) is Literal:
        return f"{name}={'|'.join(str(v) for v in typing.get_args(annotation))}"
    if annotation == tuple[str, ...]:
        key = "KEY=VALUE" if name.endswith("_arg") else "TEXT"
        return f"{name}={key}  (may be repeated)"
    is_place = name.endswith("_dir") or name in ("input", "output")
    kinds = {int: "N", float: "X", str: "PATH" if is_place else "TEXT"}
    kinds[tuple[float, ...]] = "X,X,..."
    return f"{name}={kinds.get(annotation, 'N,N,...')}"


@dataclasses.dataclass(frozen=True)
class Argument:
    """One command-line argument and where it came from ("" or "file.flags:12")."""

    text: str
    origin: str = ""


def expand(argv: Sequence[str], fill: Fill | None = None) -> list[Argument]:
    """Replaces each `--flagfile=PATH` (or `--flagfile PATH`) by the file's lines.

    Args:
      argv: arguments.
      fill: fills in what the lines leave open; None takes them as they are.

    Raises:
      UserError: a file that does not exist or cannot be read, a file that includes
        itself, or a line that is not a flag.
    """
    result: list[Argument] = []
    rest = list(argv)
    while rest:
        arg = rest.pop(0)
        name, separator, value = arg.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            result.append(Argument(arg))
            continue
        if not separator:
            if not rest:
                raise UserError("--flagfile needs a path. Received nothing.")
            value = rest.pop(0)
        result.extend(_read(Path(os.path.expanduser(value.strip())), "", (), fill))
    return result


def _renamed(arguments: Sequence[Argument], config: type) -> list[Argument]:
    """The arguments with their names of today; a remark names each earlier one."""
    known = {field.name for field in dataclasses.fields(config)}
    result, remarks = [], {}
    for arg in arguments:
        given, separator, value = arg.text.partition("=")
        old = given.lstrip("-")
        new = _RENAMED.get(old, "")
        if given.startswith("-") and new in known and old not in known:
            where = f" ({arg.origin})" if arg.origin else ""
            remarks[old] = f"remark: --{old} is now called --{new}{where}; the next "
            arg = Argument(f"--{new}{separator}{value}", arg.origin)
        result.append(arg)
    for remark in remarks.values():
        print(f"{remark}release no longer knows the earlier name.", file=sys.stderr)
    return result


def _refuse_values_of_no(
    arguments: Sequence[Argument], values: flags.FlagValues
) -> None:
    """Refuses --noNAME=VALUE, which says no twice, or no and yes."""
    for arg in arguments:
        name, separator, _ = arg.text.lstrip("-").partition("=")
        meant = name.removeprefix("no")
        if separator and name not in values and meant != name and meant in values:
            where = f" ({arg.origin})" if arg.origin else ""
            raise UserError(
                f"--{name} takes no value: write --{meant}=false, or --{meant}=true. "
                f"Received: {arg.text}{where}."
            )


def _found(arg: Argument, config: type) -> Argument:
    """Looks for the flag file that a `beside` flag of a flag file names, NAME=PATH."""
    name, _, value = arg.text.partition("=")
    fields = {field.name: field for field in dataclasses.fields(config)}
    field = fields.get(name.lstrip("-"))
    if field is None or not field.metadata.get("beside") or not arg.origin:
        return arg
    row, separator, path = value.partition("=")
    if not separator:
        return arg  # the config says what is missing
    including = Path(arg.origin.rpartition(":")[0])
    found = _beside(including, Path(os.path.expanduser(path.strip())))
    return Argument(f"{name}={row}={found}", arg.origin)


def _beside(including: Path, target: Path) -> Path:
    """The file that a flag file names: relative to it, or to the working directory."""
    beside = including.parent / target
    return beside if beside.exists() or not target.exists() else target


def shipped_names() -> list[str]:
    """Names of the flag files that come with the package, e.g. "pdm_sr/blur_x4"."""
    paths = (path.relative_to(CONFIGS) for path in CONFIGS.rglob(f"*{_SUFFIX}"))
    return sorted(path.with_suffix("").as_posix() for path in paths)


def _shipped(path: Path) -> Path | None:
    """The flag file of the package that a name means, with or without its suffix."""
    if path.is_absolute() or ".." in path.parts:
        return None
    name = Path(*path.parts[1:]) if path.parts[:1] == (CONFIGS.name,) else path
    stem = name.with_suffix("") if name.suffix == _SUFFIX else name
    found = CONFIGS / f"{stem}{_SUFFIX}"
    return found if found.is_file() else None


def _missing(path: Path, where: str) -> UserError:
    what = "is a folder" if path.is_dir() else "does not exist"
    known = shipped_names()
    close = difflib.get_close_matches(path.with_suffix("").as_posix(), known)
    hint = f" Did you mean {close[0]}?" if close else ""
    if not close and len(path.parts) == 1:
        names = (name for name in known if "/" not in name)
        hint = f" Known by name, from anywhere: {', '.join(names)}."
    return UserError(f"flag file {path} {what}{where}.{hint}")


def _read(
    path: Path, origin: str, including: tuple[Path, ...], fill: Fill | None
) -> list[Argument]:
    where = f" (included from {origin})" if origin else ""
    if not path.is_file():
        shipped = _shipped(path)
        if shipped is None:
            raise _missing(path, where)
        path = shipped
    resolved = path.resolve()
    if resolved in including:
        raise UserError(f"flag file {path} includes itself{where}.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"flag file {path} cannot be read: {error}{where}.") from error
    if any("\0" in line for line in lines):  # in no path, and in no other value
        raise UserError(f"flag file {path} must be text. Received zero bytes{where}.")
    result: list[Argument] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        here = f"{path}:{number}"
        if not text or text.startswith(("#", "//")):
            continue
        if fill is not None:
            text = fill(text, here)
        name, _, value = text.partition("=")
        if not name.startswith("-") or len(name.split()) > 1:
            raise UserError(
                f"a line of a flag file is written --name=value. Received: {text!r} "
                f"({here})."
            )
        if name in ("--flagfile", "-flagfile"):
            if not value.strip():
                raise UserError(f"--flagfile needs a path. Received nothing ({here}).")
            included = _beside(path, Path(os.path.expanduser(value.strip())))
            result.extend(_read(included, here, (*including, resolved), fill))
        else:
            result.append(Argument(text, here))
    return result
