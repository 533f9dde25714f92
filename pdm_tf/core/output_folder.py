"""Where a program may write a bundle: never over what somebody else has put there."""

import os
from pathlib import Path

from pdm_tf.core.errors import UserError

_INDEX = "bundle.json"


def check_bundle_output(output: str | os.PathLike[str], overwrite: bool) -> Path:
    """Returns the folder for a bundle: new, empty, or a bundle to be replaced.

    Args:
      output: as given by --output.
      overwrite: whether a bundle there may be replaced.

    Raises:
      UserError: a file, a folder with other files, or a bundle that must stay.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise UserError(f"--output must be a folder. Received: the file {output}.")
    is_bundle = (output / _INDEX).is_file()
    if is_bundle and not overwrite:
        raise UserError(
            f"--output must be new. Received: {output}, which holds a bundle. "
            "--overwrite replaces it."
        )
    if not is_bundle and output.is_dir() and any(output.iterdir()):
        raise UserError(
            f"--output must be new, empty or a bundle. Received: {output}, which holds "
            "other files."
        )
    return output
