"""The one progress bar of all programs: how far, how fast, how long still."""

from typing import Literal, TextIO

Show = Literal["auto", "on", "off"]


class ProgressBar:
    """A bar on standard error for work whose extent is learned as it goes on.

        with ProgressBar("shards of hr", "image", config.progress) as bar:
            make_shards(..., on_progress=bar.update)

    Args:
      stage: what is being done.
      unit: of what is counted, in the singular.
      show: `auto` shows the bar on a terminal only.
      delay: seconds before it appears: what is quickly done needs none.
      leave: whether it stays on the screen when the work is done.
      scaled: whether counts are written with k, M and G.
    """

    def __init__(
        self,
        stage: str,
        unit: str,
        show: Show = "auto",
        *,
        delay: float = 0.0,
        leave: bool = True,
        scaled: bool = False,
    ) -> None:
        from tqdm import tqdm  # not needed for a program's help

        self._bar = tqdm(
            desc=stage or None,
            unit=unit,
            unit_scale=scaled,
            disable={"on": False, "off": True, "auto": None}[show],
            delay=delay,
            leave=leave,
            dynamic_ncols=True,
        )

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()

    def update(self, done: int, total: int) -> None:
        """Moves the bar to `done` of `total` units."""
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def restart(self, total: int) -> None:
        """Begins again at 0 of `total` units, its clock too."""
        self._bar.reset(total=total)

    def say(self, line: str, stream: TextIO) -> None:
        """Prints a line, above the bar if there is one."""
        self._bar.write(line, file=stream)
