"""Training methods, one file per paper. To add one: its file and a line here."""

from pdm_tf.methods.pdm_sr import PDMSR, PDMSRConfig
from pdm_tf.methods.supervised import Supervised, SupervisedConfig

METHODS = {"pdm_sr": PDMSR, "supervised": Supervised}

__all__ = ["METHODS", "PDMSR", "PDMSRConfig", "Supervised", "SupervisedConfig"]
