"""The one progress bar of all programs: how far, how fast, how long still."""

from typing import Literal

from tqdm import tqdm

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
    """

    def __init__(
        self,
        stage: str,
        unit: str,
        show: Show = "auto",
        *,
        delay: float = 0.0,
        leave: bool = True,
    ) -> None:
        self._bar = tqdm(
            desc=stage,
            unit=unit,
            disable={"on": False, "off": True, "auto": None}[show],
            delay=delay,
            leave=leave,
            dynamic_ncols=True,
        )

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *failure: object) -> None:
        self._bar.close()

    def update(self, done: int, total: int) -> None:
        """Moves the bar to `done` of `total` units."""
        self._bar.total = total
        self._bar.update(done - self._bar.n)
