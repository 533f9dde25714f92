"""Flag files: one flag per line, comments, files that include files.

absl can read flag files itself, but with traps that cost people a day: an indented `#`
line is not taken for a comment (absl 2.1 to 2.5 leave it as a positional argument,
which our parser refuses), an included path is relative to the working directory, and an
error does not name the file of the wrong flag. So the files are expanded here, and absl
parses the resulting list.

The rules: blank lines and lines whose first character is `#` or that start with `//`
are skipped; every other line is one `--name=value`, nothing quoted, the value reaching
to the end of the line; `--flagfile=PATH` includes another file at that place, PATH
relative to the including file (or, if there is no such file, to the working directory,
as in absl). Flags that come later win; `--*_arg` flags add up, a later key winning.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pdm_tf.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class Argument:
    """One command-line argument and where it came from ("" or "file.flags:12")."""

    text: str
    origin: str = ""


def expand(argv: Sequence[str]) -> list[Argument]:
    """Replaces each `--flagfile=PATH` (or `--flagfile PATH`) by the file's lines.

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
        result.extend(_read(Path(value.strip()).expanduser(), "", ()))
    return result


def _read(path: Path, origin: str, including: tuple[Path, ...]) -> list[Argument]:
    where = f" (included from {origin})" if origin else ""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"flag file {path} {what}{where}.")
    resolved = path.resolve()
    if resolved in including:
        raise UserError(f"flag file {path} includes itself{where}.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"flag file {path} cannot be read: {error}{where}.") from error
    result: list[Argument] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        here = f"{path}:{number}"
        if not text or text.startswith(("#", "//")):
            continue
        name, _, value = text.partition("=")
        if not name.startswith("-") or len(name.split()) > 1:
            raise UserError(
                f"a line of a flag file is written --name=value. Received: {text!r} "
                f"({here})."
            )
        if name in ("--flagfile", "-flagfile"):
            if not value.strip():
                raise UserError(f"--flagfile needs a path. Received nothing ({here}).")
            target = Path(value.strip()).expanduser()
            beside = path.parent / target
            included = beside if beside.exists() or not target.exists() else target
            result.extend(_read(included, here, (*including, resolved)))
        else:
            result.append(Argument(text, here))
    return result
