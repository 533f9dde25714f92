"""The parts of `build.py`, the composition root."""
