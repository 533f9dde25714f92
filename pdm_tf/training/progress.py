"""What a person sees of a run: a bar at a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Mapping
from typing import Literal

import tqdm


class Progress:
    """Shows step, speed, time left and losses.

    The bar goes to standard error; lines go to standard output.
    """

    def __init__(
        self, mode: Literal["auto", "on", "off"], start_step: int, steps: int
    ) -> None:
        """Args:
        mode: `auto` shows a bar when standard error is a terminal.
        start_step: steps taken by earlier starts of the run.
        steps: when the run is finished.
        """
        on = mode == "on" or (mode == "auto" and _has_terminal())
        self._steps = steps
        self._rate = Rate(start_step)
        self._speed: float | None = None
        self._bar = (
            tqdm.tqdm(
                total=steps,
                initial=start_step,
                unit="step",
                dynamic_ncols=True,
                smoothing=0.05,
                mininterval=0.5,
                file=sys.stderr,
            )
            if on
            else None
        )

    @property
    def has_bar(self) -> bool:
        """Whether a bar is shown, which wants losses between the log lines too."""
        return self._bar is not None

    def advance(self, step: int) -> None:
        """Says that `step` steps are taken."""
        self._rate.advance(step)
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def refresh(self, losses: Mapping[str, float]) -> None:
        """Shows the losses in the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(short_losses(losses), refresh=False)

    def measure(self) -> float | None:
        """Returns the steps per second since it was asked last; None: not known yet."""
        self._speed = self._rate.per_second()
        return self._speed

    def pause_over(self) -> None:
        """Says that what happened since the last step was not training."""
        self._rate.pause_over()

    def status(self, step: int, scalars: Mapping[str, float]) -> str:
        """Returns the plain line: step, speed, time left, losses."""
        speed = "" if self._speed is None else f"{self._speed:.3g} it/s  "
        left = self._rate.seconds_left(self._steps - step)
        eta = "" if left is None else f"eta {_clock(left)}  "
        return f"step {step}/{self._steps}  {speed}{eta}{short_losses(scalars)}"

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        if self._bar is not None:
            self._bar.write(line, file=sys.stdout)
        else:
            print(line)

    def close(self) -> None:
        """Leaves the bar as it is."""
        if self._bar is not None:
            self._bar.close()


class Rate:
    """Speed and time left, from the second step on (the first one includes tracing)."""

    def __init__(self, start_step: int) -> None:
        self._step = start_step
        self._first: tuple[int, float] | None = None  # step and time after tracing
        self._asked: tuple[int, float] = (start_step, 0.0)  # at the last per_second
        self._advanced = time.monotonic()

    def advance(self, step: int) -> None:
        """Says that `step` steps are taken."""
        self._step, self._advanced = step, time.monotonic()
        if self._first is None:
            self._first = self._asked = (step, self._advanced)

    def pause_over(self) -> None:
        """Leaves the time since the last step out of the next `per_second`."""
        now = time.monotonic()
        self._asked = (self._asked[0], self._asked[1] + now - self._advanced)
        self._advanced = now

    def per_second(self) -> float | None:
        """Returns the speed since it was asked last; None when there was no step."""
        if self._first is None or self._step == self._asked[0]:
            return None
        now = time.monotonic()
        step, since = self._asked
        self._asked = (self._step, now)
        return (self._step - step) / max(now - since, 1e-9)

    def seconds_left(self, steps: int) -> float | None:
        """Returns the time for `steps` more at the mean speed, pauses included."""
        if self._first is None or self._step == self._first[0]:
            return None
        step, since = self._first
        return steps * (time.monotonic() - since) / (self._step - step)


def short_losses(scalars: Mapping[str, float]) -> str:
    """Returns "g_adv 0.25  d_lr 0.31" for the scalars whose names begin with loss/."""
    return "  ".join(
        f"{name.removeprefix('loss/')} {value:.4g}"
        for name, value in scalars.items()
        if name.startswith("loss/")
    )


def _has_terminal() -> bool:
    """Whether standard error is a terminal with room; tqdm shows nothing on 0 rows."""
    return sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).lines > 1


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
