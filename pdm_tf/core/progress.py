"""The progress display of all programs: progress, speed and time left."""

import os
import sys
import time
from collections import deque
from typing import Literal, TextIO

Show = Literal["auto", "on", "off"]

# The steps whose speed counts for the time left: at least so many, over so long.
_RECENT_STEPS, _RECENT_S = 50, 60.0


class ProgressBar:
    """A bar on standard error, and lines above it.

        with ProgressBar("shards of hr", "image", config.progress) as bar:
            make_shards(..., on_progress=bar.update)

    Args:
      stage: name of the work.
      unit: name of a counted thing, in the singular.
      show: `auto` shows the bar on a terminal only.
      total: units in all; None where it is learned as the work goes on.
      done: units of earlier starts.
      delay: seconds before it appears on a terminal: quick work needs no bar. None
        where it was asked for (`on`).
      leave: whether it stays on the screen when the work is done.
      line_every_s: `auto` without a terminal prints a plain line every so many seconds
        instead; 0: none.
      scaled: whether counts are written with k, M and G.

    Attributes:
      is_shown: whether there is a bar, now or after the delay.
      done, total: units.
    """

    def __init__(
        self,
        stage: str,
        unit: str,
        show: Show = "auto",
        *,
        total: int | None = None,
        done: int = 0,
        delay: float = 0.0,
        leave: bool = True,
        line_every_s: float = 0.0,
        scaled: bool = False,
    ) -> None:
        from tqdm import tqdm  # not needed for a program's help

        self.is_shown = show == "on" or (show == "auto" and _has_terminal())
        self.done, self.total = done, total
        self._stage, self._unit, self._done_before = stage, unit, done
        self._line_every_s = line_every_s if show == "auto" else 0.0
        self._start = self._line_at = time.monotonic()
        self._bar = tqdm(
            desc=stage or None,
            unit=unit,
            total=total,
            initial=done,
            disable=not self.is_shown,
            delay=0.0 if show == "on" else delay,
            leave=leave,
            dynamic_ncols=True,
            file=sys.stderr,
            unit_scale=scaled,
            smoothing=0.05,  # a time left that does not jump
        )

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def update(self, done: int, total: int | None = None) -> None:
        """Moves the bar to `done` units, of `total` if that is known or has changed."""
        if total is not None:
            self.total = self._bar.total = total
        self.done = done
        if self.is_shown:
            self._bar.update(done - self._bar.n)
        elif self._line_every_s:
            self._print_line()

    def restart(self, total: int) -> None:
        """Begins again at 0 of `total` units, its clock too."""
        self._bar.reset(total=total)
        self.done, self.total, self._done_before = 0, total, 0
        self._start = self._line_at = time.monotonic()

    def show_text(self, text: str, *, now: bool = False) -> None:
        """Shows a text at the end of the bar: at once, or from its next move on."""
        self._bar.set_postfix_str(text, refresh=now and self.is_shown)

    def say(self, line: str, stream: TextIO | None = None) -> None:
        """Prints a line, above the bar if there is one; on standard output if None."""
        if self.is_shown:
            self._bar.write(line, file=stream or sys.stdout)
        else:
            print(line, file=stream or sys.stdout)

    def close(self) -> None:
        """Leaves the bar on the screen."""
        self._bar.close()

    def _print_line(self) -> None:
        now = time.monotonic()
        if now - self._line_at <= self._line_every_s or not self.total:
            return
        self._line_at = now
        speed = (self.done - self._done_before) / (now - self._start)
        left = clock((self.total - self.done) / speed) if speed else "unknown"
        counts = f"[{self.done}/{self.total}] {speed:.3g} {self._unit}s/s, eta {left}"
        print(f"{self._stage} {counts}".strip(), file=sys.stderr)


def say_above_bars(line: str) -> None:
    """Prints a line on standard error, above whatever bar is shown there."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)


class Rate:
    """Speed and time left of training steps, from the second step on.

    The first one includes tracing. Time left follows the speed of the last steps, since
    a machine gets slower and faster; pauses are spread over all steps.
    """

    def __init__(self, start_step: int) -> None:
        self._step = start_step
        self._first: int | None = None  # step after tracing
        self._working = self._paused = 0.0  # seconds since then
        # (step, seconds worked): the last ones, and that at the last `per_second`.
        self._recent: deque[tuple[int, float]] = deque()
        self._asked = (start_step, 0.0)
        self._advanced = time.monotonic()

    def advance(self, step: int) -> None:
        """Notes that `step` steps are taken."""
        now = time.monotonic()
        self._step = step
        if self._first is None:
            self._first, self._asked = step, (step, 0.0)
        else:
            self._working += now - self._advanced
        self._advanced = now
        self._recent.append((step, self._working))
        while len(self._recent) > 1 and self._is_enough(*self._recent[1]):
            self._recent.popleft()

    def pause_over(self) -> None:
        """Counts the time since the last step as a pause."""
        now = time.monotonic()
        if self._first is not None:
            self._paused += now - self._advanced
        self._advanced = now

    def per_second(self) -> float | None:
        """Returns the speed since the last call; None if there was no step."""
        if self._first is None or self._step == self._asked[0]:
            return None
        step, worked = self._asked
        self._asked = (self._step, self._working)
        return (self._step - step) / max(self._working - worked, 1e-9)

    def seconds_left(self, steps: int) -> float | None:
        """Returns the time for `steps` more at the speed of the last ones, with pauses.

        None before the second step.
        """
        if self._first is None or self._step == self._first:
            return None
        step, worked = self._recent[0]
        of_one = (self._working - worked) / (self._step - step)
        return steps * (of_one + self._paused / (self._step - self._first))

    def _is_enough(self, step: int, worked: float) -> bool:
        """Whether the steps since then are enough to tell the speed of now."""
        return (
            self._step - step >= _RECENT_STEPS and self._working - worked >= _RECENT_S
        )


def clock(seconds: float) -> str:
    """Returns hours, minutes and seconds as "1:02:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def about(seconds: float) -> str:
    """Returns a duration in words, e.g. "about 12 minutes"."""
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 1.5 * length:
            return f"about {seconds / length:.0f} {unit}s"
    return f"about {max(1, round(seconds))} seconds"


def _has_terminal() -> bool:
    """Whether standard error is a terminal with room; tqdm shows nothing on 0 rows."""
    return sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).lines > 1
