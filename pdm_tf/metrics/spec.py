"""The rows of the table of metrics."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from pdm_tf.core.errors import UserError

Metric = Callable[[np.ndarray, np.ndarray], float]
Measure = Callable[[np.ndarray, np.ndarray], tuple[float, dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Opener:
    """Opens the weights or parameters of a metric.

    Attributes:
      what: the file's kind and origin, for help and errors.
      open: path -> (the metric, its origin for reports). Raises UserError.
    """

    what: str
    open: Callable[[str], tuple[Metric, str]] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class MetricSpec:
    """One metric: how to compute it and how to read its value.

    Attributes:
      name: its name in flags and reports.
      fn: (sr_u8, hr_u8) -> value; hr_u8 is ignored unless `needs_reference`. None until
        `opened`, where there is an `opener`.
      unit: "dB" or "" for a pure number.
      higher_is_better: the direction.
      needs_reference: whether `fn` looks at hr_u8.
      decimals: how many to print.
      with_details: for a metric that finds more than a number:
        (sr_u8, hr_u8) -> (value, JSON-ready details of this image).
      opener: for a metric that needs a file.
      source: the opened weights or parameter set, in a few words.
    """

    name: str
    fn: Metric | None = None
    _: dataclasses.KW_ONLY
    unit: str = ""
    higher_is_better: bool = True
    needs_reference: bool = True
    decimals: int = 2
    with_details: Measure | None = dataclasses.field(default=None, repr=False)
    opener: Opener | None = None
    source: str = ""

    def opened(self, path: str) -> "MetricSpec":
        """Opens the metric with the file at `path`.

        Raises:
          UserError: the file is not of the kind that the metric needs.
        """
        if self.opener is None:
            raise UserError(f"{self.name} needs no file. Received: {path}.")
        fn, source = self.opener.open(path)
        return dataclasses.replace(self, fn=fn, source=source)

    def measure(
        self, sr_u8: np.ndarray, hr_u8: np.ndarray
    ) -> tuple[float, dict[str, Any]]:
        """The value and, where the metric has any, details such as {"shift": [1, 0]}.

        Raises:
          UserError: the images can't be compared (type, shape, too small), or the
            metric's file has not been opened.
        """
        if self.with_details is not None:
            return self.with_details(sr_u8, hr_u8)
        if self.fn is None:
            raise UserError(f"{self.name} needs {self.opener.what}. Received none.")
        return self.fn(sr_u8, hr_u8), {}
