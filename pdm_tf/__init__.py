"""PDM: learn a degradation from unpaired photographs, train super-resolution with it.

Luo et al. 2022, "Learning the Degradation Distribution for Blind Image
Super-Resolution" (arXiv:2203.04962). Importing this package loads no TensorFlow; it
only asks TensorFlow, should it be loaded later, to keep its start-up lines to itself.
"""

import os

from pdm_tf.core.quiet import hide_import_notes, hold_streams

__version__ = "0.1.0"

hold_streams()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
hide_import_notes()
