"""Discriminators: image [B, H, W, 3] -> raw logits [B, h, w, 1]."""

from pdm_tf.models.discriminators.patchgan import PatchGAN, PatchGANConfig

DISCRIMINATORS = {"patchgan": PatchGANConfig()}

__all__ = ["DISCRIMINATORS", "PatchGAN", "PatchGANConfig"]
