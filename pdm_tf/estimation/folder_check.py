"""Two folders before anything is estimated: can they be used, and do they fit?

It looks at files and pixels alone, takes seconds, and loads no TensorFlow. What it
finds it says as sentences with a code: an "error" where an estimate would be invented,
a "warning" where somebody should look, a "note" for what is good to know.
"""

import collections
import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.folder_places import evenly_picked, likely_larger, misplaced
from pdm_tf.core.images import list_images, whole_file
from pdm_tf.core.memory import allowed_cpus
from pdm_tf.core.pair_names import hr_scene, lr_scene
from pdm_tf.estimation.photograph_facts import PhotographFacts, photograph_facts
from pdm_tf.estimation.two_groups import two_groups

Level = Literal["error", "warning", "note"]
OnProgress = Callable[[int, int], None]

LEAST_LR_SIDE = 32  # px: what spectra are taken from, and the usual --lr_patch
LEAST_HR = 3  # two to learn from, one held out
FEW_LR, SOME_LR, MANY_LR = 7, 20, 50
_THREADS = 8

# Sharp photographs have -12 +- 2.5 dB, blurred by a Gaussian of 1 px -27.
BLURRED_DB, SOFT_DB = -26.0, -20.0
# HR photographs at every scale-th pixel against LR ones. Sharp ones are 4 dB (mild blur
# and noise) to 8 above; equally blurred ones are the same.
AS_BLURRED_DB, HARDLY_SHARPER_DB = 1.0, 2.5
_BRIGHTNESS_255, _COLOUR_255 = 20.0, 5.0
_SURE = 0.997  # of an interval that decides: three standard errors of many photographs
_OUTLYING = 4.5  # in robust standard deviations
_ROBUST = 1.4826
_LEAST_FOR_OUTLIERS = 8
_SAME_SCENE = 0.95  # correlation of thumbnails
_PAIRED_SHARE = 0.8
_CLIPPED = 0.25
_SHARPER_DB, _MUCH_SHARPER_DB = 1.0, 3.0
_SWAPPED = "--hr_dir and --lr_dir look swapped: {}."
_APART_DB, _APART_FLOOR = 6.0, 1.0  # floors in octaves


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing worth saying.

    Attributes:
      level: "error", "warning" or "note".
      code: what it is, for programs.
      text: a sentence or two for people, without the names.
      names: photographs that it is about.
    """

    level: Level
    code: str
    text: str
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Folder:
    """The photographs of one folder.

    Attributes:
      location: the folder.
      photographs: all image files, in order of name.
    """

    location: str
    photographs: tuple[PhotographFacts, ...]

    @property
    def usable(self) -> tuple[PhotographFacts, ...]:
        """Those that are not left out."""
        return tuple(one for one in self.photographs if not one.left_out)

    @property
    def left_out(self) -> tuple[PhotographFacts, ...]:
        """The others."""
        return tuple(one for one in self.photographs if one.left_out)

    def numbers(self, name: str) -> np.ndarray:
        """One number of each usable photograph, [N] float64; None becomes NaN."""
        return np.array([getattr(one, name) for one in self.usable], np.float64)

    def to_json(self) -> dict[str, Any]:
        """What the folder is together, and each photograph."""
        usable = self.usable
        summary: dict[str, Any] = {
            "location": self.location,
            "files": len(self.photographs),
            "usable": len(usable),
            "kinds": _counts(one.kind for one in usable),
            "bits": _counts(str(one.bits) for one in usable),
            "cameras": _counts(one.camera for one in usable if one.camera),
            "grey": sum(one.is_grey for one in usable),
        }
        if usable:
            sides = np.array([(one.width, one.height) for one in usable])
            middle = np.median(sides, axis=0)
            summary |= {
                "width": [
                    int(sides[:, 0].min()),
                    float(middle[0]),
                    int(sides[:, 0].max()),
                ],
                "height": [
                    int(sides[:, 1].min()),
                    float(middle[1]),
                    int(sides[:, 1].max()),
                ],
                "megapixels": float(sides.prod(axis=1).sum() / 1e6),
                "mean_255": self.numbers("mean_255").mean(axis=0).tolist(),
                "contrast_255": float(self.numbers("contrast_255").mean()),
                "floor_255": float(np.median(self.numbers("floor_255"))),
            }
            for name in ("detail_db", "reduced_detail_db"):
                known = self.numbers(name)
                known = known[np.isfinite(known)]
                summary[name] = float(known.mean()) if len(known) else None
        return {**summary, "photographs": [one.to_json() for one in self.photographs]}


@dataclasses.dataclass(frozen=True)
class FolderCheck:
    """What was found of an HR and an LR folder.

    Attributes:
      scale: HR size / LR size.
      hr, lr: the folders.
      findings: in order of level: errors first.
      seconds: that looking took.
    """

    scale: int
    hr: Folder
    lr: Folder
    findings: tuple[Finding, ...]
    seconds: float = 0.0

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What forbids an estimate."""
        return tuple(one for one in self.findings if one.level == "error")

    def to_json(self) -> dict[str, Any]:
        """Nested dicts, lists and numbers, all finite."""
        return {
            "scale": self.scale,
            "hr": self.hr.to_json(),
            "lr": self.lr.to_json(),
            "findings": [
                {**dataclasses.asdict(one), "names": list(one.names)}
                for one in self.findings
            ],
        }


def least_hr_side(scale: int, lr_patch: int = LEAST_LR_SIDE) -> int:
    """Side in px of an HR patch for `lr_patch` LR px, with the blur's margin."""
    return scale * lr_patch + 2 * blur_margin(scale)


def blur_margin(scale: int) -> int:
    """HR px beyond each side of a patch that the blur needs.

    Kernels reach 2.5 LR px to each side (`KernelModuleConfig.at_scale`), and those that
    are tried out 10 HR px at least.
    """
    return max(10, math.ceil(2.5 * scale))


def check_folders(
    hr_dir: str | Path,
    lr_dir: str | Path,
    scale: int,
    on_progress: OnProgress = lambda done, total: None,
    most: int = 0,
) -> FolderCheck:
    """Looks at the photographs of both folders.

    Args:
      hr_dir, lr_dir: folders of image files, searched recursively.
      scale: HR size / LR size.
      on_progress: gets photographs done, and in all; may raise to stop.
      most: at most so many of each folder, from all over it; 0: all.

    Raises:
      UserError: a folder is missing, holds no image, or is given for both.
    """
    if os.path.realpath(hr_dir) == os.path.realpath(lr_dir):
        raise UserError(
            "--hr_dir and --lr_dir must be two different folders: sharp photographs, "
            "and photographs with the degradation to be estimated. "
            f"Received: {hr_dir} for both."
        )
    start = time.monotonic()
    files = [
        (Path(folder), path, folder == hr_dir)
        for folder in (hr_dir, lr_dir)
        for path in evenly_picked(list_images(folder), most)
    ]
    least = least_hr_side(scale)

    def look(item: tuple[Path, Path, bool]) -> PhotographFacts:
        folder, path, is_hr = item
        name = path.relative_to(folder).as_posix()
        try:
            data = whole_file(path)
        except ImageError as error:
            return PhotographFacts(name, error.reason)
        return photograph_facts(
            name,
            data,
            least_side=least if is_hr else LEAST_LR_SIDE,
            role="HR" if is_hr else "LR",
            scale=scale,
        )

    found = []
    for facts in _in_order(look, files):
        found.append(facts)
        on_progress(len(found), len(files))
    hr_count = sum(is_hr for _, _, is_hr in files)
    hr = Folder(str(hr_dir), tuple(found[:hr_count]))
    lr = Folder(str(lr_dir), tuple(found[hr_count:]))
    findings = in_order(_findings(hr, lr, scale))
    return FolderCheck(scale, hr, lr, findings, time.monotonic() - start)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, then warnings, then notes."""
    levels = ("error", "warning", "note")
    return tuple(sorted(findings, key=lambda one: levels.index(one.level)))


def _in_order(
    look: Callable[[Any], PhotographFacts], items: Sequence[Any]
) -> Iterator[PhotographFacts]:
    """look(item) of each, some at once; those not begun are dropped at an error."""
    threads = min(_THREADS, len(allowed_cpus()))
    with ThreadPoolExecutor(threads) as pool:
        waiting: collections.deque = collections.deque()
        try:
            for item in items:
                waiting.append(pool.submit(look, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def _findings(hr: Folder, lr: Folder, scale: int) -> Iterator[Finding]:
    for role, folder in (("HR", hr), ("LR", lr)):
        yield from _left_out(role, folder)
    for text in misplaced(hr.location, lr.location):
        yield Finding("error", "nested", text)
    swapped = _swapped(hr, lr, scale)
    if swapped:
        yield swapped
        return  # all else would be about the wrong folder
    yield from _number(hr, lr, scale)
    yield from _shared(hr, lr)
    for role, folder in (("HR", hr), ("LR", lr)):
        yield from _repeated(role, folder)
    yield from _pairs(hr, lr, scale)
    if not hr.usable or not lr.usable:
        return
    yield from _sharpness(hr, lr, scale)
    yield from _colours(hr, lr)
    yield from _two_sources(lr)
    for role, folder in (("HR", hr), ("LR", lr)):
        yield from _converted(role, folder)
        yield from _outliers(role, folder)
        yield from _clipped(role, folder)


def _left_out(role: str, folder: Folder) -> Iterator[Finding]:
    groups: dict[str, list[str]] = collections.defaultdict(list)
    for one in folder.left_out:
        groups[one.left_out.partition(" (")[0]].append(one.name)
    for reason, names in groups.items():
        what = reason.removeprefix("is ").removeprefix("has ")
        yield Finding(
            "warning",
            f"left_out_{role.lower()}",
            f"{_photographs(len(names), role)} left out: {what}.",
            tuple(names),
        )


def _number(hr: Folder, lr: Folder, scale: int) -> Iterator[Finding]:
    usable = len(hr.usable)
    sizes = f"{least_hr_side(scale)} px to each side at x{scale}"
    if usable < LEAST_HR:
        small = any("smaller" in one.left_out for one in hr.left_out)
        margin = (
            f" An HR photograph must have {sizes}: the LR photograph's "
            f"{LEAST_LR_SIDE} px, and a margin of {blur_margin(scale)} px for the blur."
        )
        yield Finding(
            "error",
            "few_hr",
            f"At least {LEAST_HR} HR photographs are needed. Received: {usable} "
            f"usable of {len(hr.photographs)}.{margin if small else ''}",
        )
    usable = len(lr.usable)
    if not usable:
        yield Finding(
            "error",
            "no_lr",
            f"At least one LR photograph of {LEAST_LR_SIDE}x{LEAST_LR_SIDE} px or more "
            f"is needed. Received: none usable of {len(lr.photographs)}.",
        )
    elif usable == 1:
        yield Finding(
            "warning",
            "one_lr",
            "One LR photograph says what its own blur is, not how blur varies: the "
            "spread that is reported is an assumption. Add photographs of the source.",
        )
    elif usable < FEW_LR:
        yield Finding(
            "warning",
            "few_lr",
            f"{usable} LR photographs say little about how blur varies: the spread is "
            f"mostly assumed. {SOME_LR} or more are advisable.",
        )
    elif usable < SOME_LR:
        yield Finding(
            "note",
            "some_lr",
            f"{usable} LR photographs give the mean width of blur to about 10 %, and "
            f"its spread roughly; {SOME_LR} or more are advisable, {MANY_LR} or more "
            "let training refine the estimate.",
        )


def _swapped(hr: Folder, lr: Folder, scale: int) -> Finding | None:
    """Names that pair the wrong way round, or LR photographs larger and sharper.

    Larger alone says nothing: LR photographs may be whole ones of a camera, and HR ones
    may come from a smaller collection.
    """
    # Small ones are left out, and their sizes are what tells.
    sizes = [
        {_scene(one.name, scale): (one.width, one.height) for one in folder.photographs}
        for folder in (hr, lr)
    ]
    common = [name for name in sizes[0] if name in sizes[1]]
    turned = [
        name for name in common if _is_times(sizes[1][name], sizes[0][name], scale)
    ]
    if scale > 1 and len(turned) > _PAIRED_SHARE * max(len(common), 1):
        why = (
            f"{len(turned)} LR photographs are {scale} times as large as the HR ones "
            "of their names"
        )
        return Finding("error", "swapped", _SWAPPED.format(why), tuple(turned))
    areas = [[float(w * h) for w, h in of.values()] for of in sizes]
    details = [
        np.median([one.detail_db for one in of.photographs if one.detail_db] or np.nan)
        for of in (hr, lr)
    ]
    sharper = details[1] - details[0] > _SHARPER_DB
    if likely_larger(*areas, scale) and (sharper or not hr.usable):
        hr_area, lr_area = (np.median(of) / 1e6 for of in areas)
        why = (
            f"the LR photographs are larger ({lr_area:.2g} megapixels against "
            f"{hr_area:.2g}){' and sharper' if sharper else ''}"
        )
        return Finding("error", "swapped", _SWAPPED.format(why))
    return None


def _shared(hr: Folder, lr: Folder) -> Iterator[Finding]:
    of_hr = {one.sha256 for one in hr.usable}
    names = tuple(one.name for one in lr.usable if one.sha256 in of_hr)
    if not names:
        return
    everything = len(names) == len(lr.usable)
    yield Finding(
        "error" if everything else "warning",
        "equal_folders" if everything else "shared",
        (
            "All LR photographs are also in --hr_dir: nothing could be learned from "
            "comparing photographs with themselves."
            if everything
            else f"{_photographs(len(names), 'LR')} also in "
            "--hr_dir, pixel by pixel. Take them out of one of the folders."
        ),
        names,
    )


def _repeated(role: str, folder: Folder) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    again = []
    for one in folder.usable:
        if one.sha256 in seen:
            again.append(f"{one.name} = {seen[one.sha256]}")
        seen.setdefault(one.sha256, one.name)
    if again:
        yield Finding(
            "warning",
            f"repeated_{role.lower()}",
            f"{_photographs(len(again), role)} there more than once, "
            "and count as often.",
            tuple(again),
        )


def _pairs(hr: Folder, lr: Folder, scale: int) -> Iterator[Finding]:
    of_hr = {_scene(one.name, scale): one for one in hr.usable}
    names = []
    for one in lr.usable:
        other = of_hr.get(_scene(one.name, scale))
        if other is None or not _is_times(
            (other.width, other.height), (one.width, one.height), scale
        ):
            continue
        if np.corrcoef(one.thumbnail, other.thumbnail)[0, 1] > _SAME_SCENE:
            names.append(one.name)
    if len(names) > _PAIRED_SHARE * len(lr.usable):
        yield Finding(
            "note",
            "pairs",
            f"{len(names)} LR photographs show the HR photograph of their name: if "
            "they lie pixel on pixel, they are pairs, and "
            "--method=supervised --method_arg=pairs=real can learn from them directly.",
            tuple(names),
        )


def _sharpness(hr: Folder, lr: Folder, scale: int) -> Iterator[Finding]:
    own = hr.numbers("detail_db")
    blurred = [
        one.name for one, db in zip(hr.usable, own, strict=True) if db < BLURRED_DB
    ]
    whole = own[np.isfinite(own)]
    lr_detail, sharp = lr.numbers("detail_db"), hr.numbers("reduced_detail_db")
    lr_detail, sharp = (x[np.isfinite(x)] for x in (lr_detail, sharp))
    if not len(whole) or not len(lr_detail) or not len(sharp):
        return
    above, error = _difference(sharp, lr_detail)
    alike = above < min(AS_BLURRED_DB + error, HARDLY_SHARPER_DB)
    soft = float(np.median(whole)) < SOFT_DB
    if soft and alike:
        yield Finding(
            "error",
            "hr_blurred",
            "The HR photographs are as blurred as the LR ones: their finest octave has "
            f"{np.median(whole):.0f} dB (sharp photographs: -12), and with every "
            f"{_ordinal(scale)} pixel kept they show no more detail than the LR "
            f"photographs ({above:+.1f} dB). What is called sharp decides what blur "
            "is: take sharp photographs, or reduce these until they are sharp.",
        )
    elif len(blurred) > len(own) / 2:
        yield Finding(
            "warning",
            "hr_soft",
            f"{len(blurred)} of {len(own)} HR photographs are blurred themselves, or "
            "were enlarged: the blur of the LR photographs will be taken for smaller "
            "than it is.",
            tuple(blurred),
        )
    elif blurred:
        yield Finding(
            "warning",
            "hr_soft",
            f"{_photographs(len(blurred), 'HR')} blurred, or "
            "enlarged from a smaller one. Take such out.",
            tuple(blurred),
        )
    if soft and alike:
        return
    if alike:
        yield Finding(
            "warning",
            "lr_sharp",
            "The LR photographs show as much detail as the HR ones with every "
            f"{_ordinal(scale)} pixel kept ({above:+.1f} dB): they are hardly blurred, "
            f"or noisy, or of another scale than --scale={scale}.",
        )
    elif lr_detail.mean() - whole.mean() > _MUCH_SHARPER_DB:
        yield Finding(
            "warning",
            "lr_sharper",
            "The LR photographs are sharper, pixel by pixel, than the HR ones (by "
            f"{lr_detail.mean() - whole.mean():.0f} dB; usually they are 1 to 6 dB "
            "softer): are the folders swapped?",
        )
    elif soft and above < HARDLY_SHARPER_DB:
        yield Finding(
            "warning",
            "hr_hardly_sharper",
            "The HR photographs are hardly sharper than the LR ones "
            f"({above:+.1f} dB where 4 to 8 are usual).",
        )
    if float(np.median(lr_detail)) < BLURRED_DB:
        yield Finding(
            "warning",
            "lr_enlarged",
            "The LR photographs have next to nothing in their finest octave "
            f"({np.median(lr_detail):.0f} dB): they were enlarged, or are blurred more "
            f"than a network for x{scale} is made for. Reduce them first.",
        )


def _colours(hr: Folder, lr: Folder) -> Iterator[Finding]:
    a, b = hr.numbers("mean_255"), lr.numbers("mean_255")
    bright = [x.mean(axis=1) for x in (a, b)]
    apart, _ = _difference(*bright)
    if abs(apart) > max(_BRIGHTNESS_255, _half_interval(*bright)):
        word = "darker" if apart > 0 else "brighter"
        yield Finding(
            "warning",
            "brightness",
            f"The LR photographs are {word} than the HR ones, by {abs(apart):.0f} "
            "levels of 255: the discriminator will see that before it sees blur. "
            "Photographs of similar scenes help.",
        )
    for name, first, second in (
        ("red against green", 0, 1),
        ("blue against green", 2, 1),
    ):
        tints = [x[:, first] - x[:, second] for x in (a, b)]
        apart, _ = _difference(*tints)
        if abs(apart) > max(_COLOUR_255, _half_interval(*tints)):
            yield Finding(
                "note",
                "colour",
                f"The folders differ in colour: {name} by {abs(apart):.0f} levels, "
                f"{'more' if apart > 0 else 'less'} in the HR photographs.",
            )
    for count, one, other in (
        (sum(x.is_grey for x in lr.usable), lr, "LR"),
        (sum(x.is_grey for x in hr.usable), hr, "HR"),
    ):
        if 0 < count < len(one.usable):
            yield Finding(
                "note",
                f"some_grey_{other.lower()}",
                f"{count} of {len(one.usable)} {other} photographs are grey.",
                tuple(x.name for x in one.usable if x.is_grey),
            )
    if all(x.is_grey for x in lr.usable) != all(x.is_grey for x in hr.usable):
        grey = "LR" if all(x.is_grey for x in lr.usable) else "HR"
        yield Finding(
            "warning",
            "grey",
            f"All {grey} photographs are grey, those of the other folder are not: the "
            "discriminator tells them apart by colour alone. Make both grey "
            "(pdm_tf prepare --task=grey).",
        )


def _converted(role: str, folder: Folder) -> Iterator[Finding]:
    """Photographs whose colours are others than sRGB, which all are read as."""
    named = [one for one in folder.usable if one.colours]
    if named:
        kinds = _counts(one.colours for one in named)
        listed = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
        yield Finding(
            "note",
            f"colours_{role.lower()}",
            f"{_photographs(len(named), role)} not in sRGB ({listed}) and read as "
            "sRGB: their colours are converted.",
            tuple(one.name for one in named),
        )


def _difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Difference of two means, and its standard error; infinite for single numbers."""
    apart = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return apart, math.inf
    return apart, math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))


def _half_interval(a: np.ndarray, b: np.ndarray) -> float:
    """Half of the interval (`_SURE`) on the difference of two means, after Welch.

    The variance of three photographs is itself known so badly that its root is no
    measure of anything: Student's t with Welch's degrees of freedom says how badly.
    """
    _, error = _difference(a, b)
    if not 0.0 < error < math.inf:
        return error
    parts = [x.var(ddof=1) / len(x) for x in (a, b)]
    left = sum(v**2 / (len(x) - 1) for v, x in zip(parts, (a, b), strict=True))
    return error * _student(_SURE, sum(parts) ** 2 / left)


def _student(inside: float, freedom: float) -> float:
    """What |t| of Student's distribution stays below with a chance of `inside`.

    With t = sqrt(freedom) tan(a) the density of a is that of cos(a)^(freedom - 1).
    """
    angles = np.linspace(0.0, np.pi / 2.0, 20_001)
    middles = (angles[1:] + angles[:-1]) / 2.0
    below = np.cumsum(np.cos(middles) ** (freedom - 1.0))
    angle = np.interp(inside, np.append(0.0, below / below[-1]), angles)
    return math.sqrt(freedom) * math.tan(angle)


def _two_sources(lr: Folder) -> Iterator[Finding]:
    usable = lr.usable
    cameras = collections.Counter(one.camera for one in usable if one.camera)
    if len(cameras) > 1:
        listed = ", ".join(f"{n} of {name}" for name, n in cameras.most_common(4))
        yield Finding(
            "warning",
            "cameras",
            f"The LR photographs are of {len(cameras)} cameras ({listed}): one "
            "degradation is estimated for all. Separate folders are better.",
        )
    for name, what, unit, least in (
        ("detail_db", "detail", " dB", _APART_DB),
        ("floor_255", "noise", " levels", _APART_FLOOR),
    ):
        values = lr.numbers(name)
        known = np.flatnonzero(np.isfinite(values))
        values = values[known]
        logs = np.log2(values.clip(0.25)) if name == "floor_255" else values
        found = two_groups(logs, least)
        if found is None:
            continue
        low, high = ([known[i] for i in part] for part in (found.low, found.high))
        means = [float(values[list(part)].mean()) for part in (found.low, found.high)]
        smaller = min((low, high), key=len)
        yield Finding(
            "warning",
            "two_sources",
            f"The LR photographs look like two sources: {what} of {means[0]:.1f}{unit} "
            f"in {len(low)} of them and {means[1]:.1f}{unit} in {len(high)}. Estimate "
            "each in a folder of its own. The smaller group is named.",
            tuple(usable[i].name for i in smaller),
        )


def _outliers(role: str, folder: Folder) -> Iterator[Finding]:
    usable = folder.usable
    if len(usable) < _LEAST_FOR_OUTLIERS:
        return
    brightness = folder.numbers("mean_255").mean(axis=1)
    rows: dict[str, list[str]] = {}
    for what, values, least in (
        ("brightness", brightness, 60.0),
        ("contrast", folder.numbers("contrast_255"), 30.0),
        ("detail", folder.numbers("detail_db"), 6.0),
        ("size", np.log2(folder.numbers("width") * folder.numbers("height")), 2.0),
    ):
        known = values[np.isfinite(values)]
        if not len(known):
            continue
        middle = np.median(known)
        scale = _ROBUST * np.median(np.abs(known - middle))
        far = np.abs(values - middle) > max(_OUTLYING * scale, least)
        for index in np.flatnonzero(far):
            side = "high" if values[index] > middle else "low"
            rows.setdefault(usable[index].name, []).append(f"{side} {what}")
    if rows:
        yield Finding(
            "note",
            f"outliers_{role.lower()}",
            f"{_photographs(len(rows), role)} unlike the others; "
            "look whether they belong here.",
            tuple(f"{name}: {', '.join(why)}" for name, why in rows.items()),
        )


def _clipped(role: str, folder: Folder) -> Iterator[Finding]:
    names = tuple(one.name for one in folder.usable if one.clipped > _CLIPPED)
    if names:
        yield Finding(
            "note",
            f"clipped_{role.lower()}",
            f"{_photographs(len(names), role)} black or white in more than "
            f"{_CLIPPED:.0%} of the pixels: neither blur nor noise shows there.",
            names,
        )


def _scene(name: str, scale: int) -> str:
    """The scene that a photograph's name means ("0801x4.png" -> "0801")."""
    stem = name.rpartition(".")[0] or name
    bare = lr_scene(stem, scale)
    return bare if bare != stem.casefold() else hr_scene(stem, scale)


def _is_times(large: tuple[int, int], small: tuple[int, int], scale: int) -> bool:
    """Whether both sides are `scale` times as long, less a rest."""
    return all(
        s and abs(a - scale * s) < max(scale, 1)
        for a, s in zip(large, small, strict=True)
    )


def _counts(words: Iterable[str]) -> Mapping[str, int]:
    return dict(collections.Counter(words).most_common())


def _photographs(count: int, role: str) -> str:
    return f"{count} {role} photograph{' is' if count == 1 else 's are'}"


def _ordinal(scale: int) -> str:
    return {1: "", 2: "second", 3: "third"}.get(scale, f"{scale}th")
