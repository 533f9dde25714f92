"""What measured values say of a folder: mixed sources, photographs unlike the others.

Brightness and detail tell two sources apart where they differ a lot; noise, blur and
JPEG of each photograph tell more.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pdm_tf.core.source_estimate import PhotographEstimate, SourceEstimate
from pdm_tf.estimation.folder_check import Finding
from pdm_tf.estimation.two_groups import two_groups

_LEAST_GROUP, _LEAST_SHARE = 3, 0.1
_LIGHT = 0.3
# Groups that lie nearer than this do not matter: a factor of 1.5 in strength or width.
_APART = float(np.log(1.5))


def measured_findings(estimate: SourceEstimate) -> list[Finding]:
    """Says what is worth a look in an estimate.

    Args:
      estimate: what was measured.
    """
    used = [one for one in estimate.photographs if not one.left_out]
    return [*_jpeg(used), *_groups(used), *_light(used)]


def _jpeg(used: Sequence[PhotographEstimate]) -> Iterator[Finding]:
    with_traces = [one.name for one in used if one.jpeg.quality]
    without = [one.name for one in used if not one.jpeg.quality]
    fewer = min(with_traces, without, key=len)
    if len(fewer) < max(_LEAST_GROUP, _LEAST_SHARE * len(used)):
        return
    yield Finding(
        "warning",
        "some_jpeg",
        f"{len(with_traces)} LR photographs have traces of JPEG, {len(without)} have "
        "none: they may be of two sources, or were treated differently. The smaller "
        "group is named.",
        tuple(fewer),
    )


def _groups(used: Sequence[PhotographEstimate]) -> Iterator[Finding]:
    noisy = [
        one for one in used if one.noise_255 is not None and min(one.noise_255) > 0
    ]
    levels = [float(np.log(one.noise_255).mean()) for one in noisy]
    yield from _apart("noise", noisy, levels, "levels")
    known = [one for one in used if one.kernel is not None]
    # m is the logarithm of a variance: half of it is that of a width.
    sizes = [one.kernel.mean[0] / 2.0 for one in known]
    yield from _apart("blur", known, sizes, "HR px")


def _apart(
    what: str, of: Sequence[PhotographEstimate], logs: Sequence[float], unit: str
) -> Iterator[Finding]:
    found = two_groups(logs, _APART)
    if found is None:
        return
    low, high = np.exp(found.means)
    smaller = min(found.low, found.high, key=len)
    yield Finding(
        "warning",
        f"two_sources_{what}",
        f"The LR photographs look like two sources: {what} of about {low:.1f} {unit} "
        f"in {len(found.low)} of them and {high:.1f} {unit} in {len(found.high)}. "
        "Estimate each in a folder of its own. The smaller group is named.",
        tuple(of[index].name for index in smaller),
    )


def _light(used: Sequence[PhotographEstimate]) -> Iterator[Finding]:
    names = tuple(one.name for one in used if one.weight < _LIGHT)
    if names:
        be = "is" if len(names) == 1 else "are"
        yield Finding(
            "note",
            "unlike",
            f"{len(names)} LR photograph{'' if len(names) == 1 else 's'} {be} blurred "
            "unlike the others, or of unusual content, and count little.",
            names,
        )
