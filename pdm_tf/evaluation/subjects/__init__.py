"""The kinds of things to evaluate, and their table.

`open_subject` finds the first of KINDS that a location matches, by names of files
alone. To add one: a function that tells it, one that opens it, and a row here.
"""

from collections.abc import Callable
from typing import NamedTuple

from pdm_tf.core.checks import nearest
from pdm_tf.core.errors import UserError
from pdm_tf.evaluation.subjects import networks, pictures
from pdm_tf.evaluation.subjects.base import (
    BICUBIC,
    Subject,
    SubjectRequest,
    open_bicubic,
)

__all__ = ["BICUBIC", "KINDS", "Subject", "SubjectRequest", "open_subject"]


class Kind(NamedTuple):
    """A kind of subject.

    Attributes:
      what: the kind in words, with an article.
      matches: location -> whether it is one.
      open: loads it; raises UserError.
    """

    what: str
    matches: Callable[[str], bool]
    open: Callable[[SubjectRequest], Subject]


# In this order: a run folder holds pictures too, an exported folder both formats.
KINDS = (
    Kind("the word bicubic", lambda location: location == BICUBIC, open_bicubic),
    Kind("a run folder or a bundle", networks.is_ours, networks.open_bundle),
    Kind(
        "an ONNX file or a folder with model.onnx", networks.is_onnx, networks.open_onnx
    ),
    Kind("a SavedModel", networks.is_saved_model, networks.open_saved_model),
    Kind("a folder of SR pictures", pictures.matches, pictures.open_pictures),
)


def open_subject(request: SubjectRequest) -> Subject:
    """Finds the kind of the location and opens it.

    Raises:
      UserError: it is none of them, cannot be used, or has another scale than asked
        for.
    """
    for kind in KINDS:
        if kind.matches(request.location):
            subject = kind.open(request)
            break
    else:
        raise UserError(
            f"--model must be {', '.join(kind.what for kind in KINDS[:-1])} or "
            f"{KINDS[-1].what}. Received: {request.location}, which is none of them."
            f"{nearest(request.location, [BICUBIC])}"
        )
    if request.scale not in (0, subject.scale):
        raise UserError(
            f"--scale must be that of the model, {subject.scale}, or be left out. "
            f"Received: {request.scale}."
        )
    return subject
