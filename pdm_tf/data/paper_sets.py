"""The datasets of the paper (table 1): their archives, and the images to use.

Luo et al. 2022 (arXiv:2203.04962), section 4.1: of the tracks that come in pairs only
the first half of the HR and the second half of the LR images are trained on, so that no
scene is in both; the tracks of 2020 are unpaired as they are. One row of `PAPER_SETS`
for each; nothing else knows their names.

Where names and counts are from (seen in 2026-11; nothing was downloaded):
- DIV2K's page, data.vision.ee.ethz.ch/cvl/DIV2K, as the download lists of TensorFlow
  Datasets (`div2k.py`) and others repeat it: archive names; 0001.png, 0001x4.png in
  DIV2K_train_LR_unknown/X4, 0001x4m.png, 0001x4w1.png ("wild" has four of each image).
  The one "wild" file of a validation image is called 0801x4w.png there; a digit behind
  the w is accepted too.
- NTIRE 2020: the archives of competitions.codalab.org/competitions/22220 as the issue
  trackers of Real-SR and realsr-noise-injection list them (Corrupted-*, DPEDiphone-*;
  flat, without a folder inside) and, renamed, the organisers' later address
  (track1-train-source, train-target, track1-valid-input, track1-valid-gt; a folder of
  the same name inside). Validation images are called 0801.png to 0900.png in both; the
  names of the training images are not published, so that they are counted only.
- Counts: table 1 of the paper.

The paper writes "1600 ~ 3200" for the LR images of 2018 track 4. Number 1600 is the
fourth version of image 400, whose HR image is trained on; the half is 1601 to 3200.
"""

import dataclasses

_DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"
_NTIRE2020 = "https://competitions.codalab.org/competitions/22220"


@dataclasses.dataclass(frozen=True)
class Archive:
    """An archive as published, under one or several names.

    Attributes:
      names: accepted file names; messages ask for the first.
      holds: its content in words, for messages.
      count: images in it.
      pattern: of an image's file name: group 1 is the number of the scene, group 2, if
        there is one, the version. None: names are not known, images are only counted.
      numbers: first and last number; ignored without a pattern.
      versions: of each number, as group 2 has them; None: one version, of any name.
      folders: where a user who has extracted the archive may have its images, relative
        to the folder of archives, besides a folder named like the archive.
    """

    names: tuple[str, ...]
    holds: str
    count: int
    pattern: str | None = None
    numbers: tuple[int, int] = (0, 0)
    versions: tuple[str, ...] | None = None
    folders: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Part:
    """Images of an archive that go to one place of a dataset.

    Attributes:
      place: relative folder, e.g. "train/hr".
      archive: where they are from.
      numbers: first and last number to take; None takes all.
      count: how many images that makes.
    """

    place: str
    archive: Archive
    numbers: tuple[int, int] | None
    count: int


@dataclasses.dataclass(frozen=True)
class PaperSet:
    """One dataset of table 1.

    Attributes:
      title: its name in the challenge.
      degradation: of the LR images, in words.
      page: address of the archives.
      parts: train/hr, train/lr, val/lr, and val/hr where there is ground truth.
      scale: hr size / lr size.
    """

    title: str
    degradation: str
    page: str
    parts: tuple[Part, ...]
    scale: int = 4

    @property
    def has_pairs(self) -> bool:
        """Whether validation images have ground truth."""
        return any(part.place == "val/hr" for part in self.parts)


_HR = Archive(
    names=("DIV2K_train_HR.zip",),
    holds="800 HR photographs of DIV2K",
    count=800,
    pattern=r"(\d{4})\.png",
    numbers=(1, 800),
)
_VALID_HR = Archive(
    names=("DIV2K_valid_HR.zip",),
    holds="100 HR photographs of DIV2K for validation",
    count=100,
    pattern=r"(\d{4})\.png",
    numbers=(801, 900),
)


def _div2k_lr(
    split: str,
    track: str,
    ending: str,
    folder: str = "",
    versions: tuple[str, ...] | None = None,
) -> Archive:
    first, last = {"train": (1, 800), "valid": (801, 900)}[split]
    count = (last - first + 1) * len(versions or ("",))
    purpose = " for validation" if split == "valid" else ""
    return Archive(
        names=(f"DIV2K_{split}_LR_{track}.zip",),
        holds=f"{count} LR photographs{purpose}",
        count=count,
        pattern=rf"(\d{{4}}){ending}\.png",
        numbers=(first, last),
        versions=versions,
        folders=(folder,) if folder else (),
    )


def _halves(title: str, degradation: str, train: Archive, valid: Archive) -> PaperSet:
    """A set of 800 scenes in pairs: HR of the first 400, LR of the others."""
    each = train.count // 800
    return PaperSet(
        title=title,
        degradation=degradation,
        page=_DIV2K,
        parts=(
            Part("train/hr", _HR, (1, 400), 400),
            Part("train/lr", train, (401, 800), 400 * each),
            Part("val/hr", _VALID_HR, None, 100),
            Part("val/lr", valid, None, 100),
        ),
    )


# The HR side of both tracks of 2020 are the training images of DIV2K.
_TARGET = Archive(
    names=(
        "train-target.zip",
        "Corrupted-tr-y.zip",
        "DPEDiphone-tr-y.zip",
        "DIV2K_train_HR.zip",
    ),
    holds="800 HR photographs",
    count=800,
)


def _ntire2020(title: str, degradation: str, *parts: Part) -> PaperSet:
    hr = Part("train/hr", _TARGET, None, 800)
    return PaperSet(title, degradation, _NTIRE2020, (hr, *parts))


PAPER_SETS = {
    "ntire2017_track2": _halves(
        "NTIRE 2017, track 2 (unknown x4)",
        "an unknown blur, no noise",
        _div2k_lr("train", "unknown_X4", "x4", "DIV2K_train_LR_unknown/X4"),
        _div2k_lr("valid", "unknown_X4", "x4", "DIV2K_valid_LR_unknown/X4"),
    ),
    "ntire2018_track2": _halves(
        "NTIRE 2018, track 2 (realistic mild x4)",
        "blur, Poisson noise and a shift",
        _div2k_lr("train", "mild", "x4m"),
        _div2k_lr("valid", "mild", "x4m"),
    ),
    "ntire2018_track4": _halves(
        "NTIRE 2018, track 4 (realistic wild x4)",
        "as mild, but of another strength for each image; four versions of each scene",
        _div2k_lr("train", "wild", r"x4w([1-4])", versions=("1", "2", "3", "4")),
        _div2k_lr("valid", "wild", r"x4w(\d?)"),
    ),
    "ntire2020_track1": _ntire2020(
        "NTIRE 2020 real-world SR, track 1 (image processing artefacts)",
        "artefacts of image processing",
        Part(
            "train/lr",
            Archive(
                names=("track1-train-source.zip", "Corrupted-tr-x.zip"),
                holds="2650 LR photographs",
                count=2650,
            ),
            None,
            2650,
        ),
        Part(
            "val/hr",
            dataclasses.replace(
                _VALID_HR, names=("track1-valid-gt.zip", "DIV2K_valid_HR.zip")
            ),
            None,
            100,
        ),
        Part(
            "val/lr",
            Archive(
                names=("track1-valid-input.zip", "Corrupted-va-x.zip"),
                holds="100 LR photographs for validation",
                count=100,
                pattern=r"(\d{4})\.png",
                numbers=(801, 900),
            ),
            None,
            100,
        ),
    ),
    "ntire2020_track2": _ntire2020(
        "NTIRE 2020 real-world SR, track 2 (smartphone images)",
        "that of a phone's camera",
        Part(
            "train/lr",
            Archive(
                names=("DPEDiphone-tr-x.zip",),
                holds="2229 LR photographs of a phone",
                count=2229,
            ),
            None,
            2229,
        ),
        Part(
            "val/lr",
            Archive(
                names=("DPEDiphone-va.zip",),
                holds="100 LR photographs of a phone for validation",
                count=100,
            ),
            None,
            100,
        ),
    ),
}
