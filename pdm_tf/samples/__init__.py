"""Eighteen small photographs free of rights problems, for the quickstart and tests.

README.md next to this file gives origin, author, licence and checksum of each. Three
folders, no photograph in two of them: the HR side of training, the photographs from
which the LR side is made, and those held out for validation.
"""

from pathlib import Path

_HERE = Path(__file__).resolve().parent

PHOTOS_FOR_HR = _HERE / "photos_for_hr"
PHOTOS_FOR_LR = _HERE / "photos_for_lr"
PHOTOS_FOR_VALIDATION = _HERE / "photos_for_validation"
