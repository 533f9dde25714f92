"""Loading the PyTorch side of a ratio, when it is asked for."""

import importlib
from types import ModuleType

from pdm_tf.core.errors import UserError


def import_torch_side(name: str, threads: int = 0) -> ModuleType:
    """Returns the module `pdm_tf.benchmarks.NAME`, which imports torch.

    Args:
      name: of the module.
      threads: of all of PyTorch in this process; 0 leaves them as they are.

    Raises:
      UserError: PyTorch is not installed.
    """
    try:
        module = importlib.import_module(f"pdm_tf.benchmarks.{name}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError(
            "--compare=torch needs PyTorch, which is not installed. Install it with "
            'pip install -e ".[benchmark]".'
        ) from error
    if threads:
        module.torch.set_num_threads(threads)
    return module
